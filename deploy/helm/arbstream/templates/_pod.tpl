{{/* Where the files lie that a service may read: its own, or another's if the volume lets it. As JSON. */}}
{{- define "arbstream.files" -}}
{{- $root := index . 0 }}{{ $workload := index . 1 -}}
{{- $owner := "" -}}
{{- if $workload.row.files }}{{ $owner = $workload.service }}{{ end -}}
{{- if $workload.row.readsFilesOf }}
  {{- range include "arbstream.services" $root | fromJsonArray }}
    {{- if and (eq .service $workload.row.readsFilesOf) (eq (dig "storage" "accessMode" "" .own) "ReadWriteMany") }}
      {{- $owner = .service }}
    {{- end }}
  {{- end }}
{{- end -}}
{{- toJson (dict "owner" $owner "readOnly" (ne $owner $workload.service)) -}}
{{- end }}

{{/* The environment of a service. Of: root, workload. */}}
{{- define "arbstream.environment" -}}
{{- $root := index . 0 }}{{ $workload := index . 1 }}{{ $values := $root.Values -}}
{{- $config := fromToml $values.config }}{{ $row := $workload.row -}}
{{- $files := include "arbstream.files" . | fromJson -}}
- {name: ARB_CONFIG, value: /run/arb/config/arb.toml}
- {name: ARB_REDIS_URL, value: {{ $values.redis.url | quote }}}
- {name: ARB_REDIS_USERNAME, value: {{ $workload.service }}}
{{- if or $values.redis.tlsCa.secret $values.redis.tlsCa.configMap }}
- {name: ARB_REDIS_TLS_CA_FILE, value: /run/arb/tls/ca.crt}
{{- end }}
{{- range $variable, $key := include "arbstream.secretFiles" . | fromJson }}
- {name: {{ $variable }}_FILE, value: {{ printf "/run/arb/secret/%s" $key | quote }}}
{{- end }}
- {name: ARB_INSTANCE, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: ARB_HTTP_HOST, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
- {name: ARB_HTTP_PORT, value: "9464"}
{{- if $workload.venue }}
- {name: {{ $row.venuesVariable }}, value: {{ $workload.venue | quote }}}
- {name: {{ $row.feedVariable }}, value: {{ $workload.feed }}}
{{- end }}
{{- if $files.owner }}
- {name: ARB_{{ upper $files.owner }}_DIR, value: /var/lib/arbstream}
{{- end }}
{{- if $row.port }}
{{- $prefix := printf "ARB_%s" (upper $workload.service) }}
{{- if and (eq $workload.service "dashboard") (not $values.dashboard.allowedHosts) }}
- {name: {{ $prefix }}_HOST, value: 127.0.0.1}
{{- else }}
- {name: {{ $prefix }}_HOST, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
{{- end }}
- {name: {{ $prefix }}_PORT, value: {{ $row.port | quote }}}
{{- end }}
{{- if eq $workload.service "dashboard" }}
{{- if $values.dashboard.allowedHosts }}
- {name: ARB_DASHBOARD_BEHIND_PROXY, value: "yes"}
- {name: ARB_DASHBOARD_ALLOWED_HOSTS, value: {{ join " " $values.dashboard.allowedHosts | quote }}}
{{- end }}
{{- if dig "dashboard" "operator" false $config }}
- {name: ARB_DASHBOARD_REDIS_USERNAME, value: operator}
{{- end }}
{{- end }}
{{- if and (eq $workload.service "executor") (eq (dig "executor" "mode" "paper" $config) "live") }}
- {name: ARB_LIVE_TRADING, value: {{ $values.liveTrading | quote }}}
{{- end }}
{{- end }}

{{/* Image by digest, or else by tag. */}}
{{- define "arbstream.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{/* The pod of a workload: confined as in docker-compose.yml. Of: root, workload. */}}
{{- define "arbstream.pod" -}}
{{- $root := index . 0 }}{{ $workload := index . 1 }}{{ $values := $root.Values -}}
{{- $row := $workload.row }}{{ $own := $workload.own -}}
{{- $fullname := include "arbstream.fullname" $root -}}
{{- $files := include "arbstream.files" . | fromJson -}}
{{- $cpu := $own.cpu | default ($row.givesWay | ternary "100m" ($row.optional | ternary "500m" "1")) -}}
{{- $memory := $own.memory | default "512Mi" -}}
automountServiceAccountToken: false
# Else a Service named arb-exporter would set ARB_EXPORTER_PORT to its address.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $row.graceSeconds }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  # Files of a volume keep their mode: tokens that a group may read are refused.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $values.affinity }}
affinity: {{ toJson . }}
{{- end }}
tolerations:
{{- range list "not-ready" "unreachable" }}
  - {key: node.kubernetes.io/{{ . }}, operator: Exists, effect: NoExecute, tolerationSeconds: {{ $values.nodeLostAfterSeconds }}}
{{- end }}
{{- range $values.tolerations }}
  - {{ toJson . }}
{{- end }}
{{- if gt (int $workload.pods) 1 }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "arbstream.groupSelector" . | nindent 8 }}
{{- end }}
containers:
  - name: {{ $workload.service }}
    image: {{ include "arbstream.image" $root | quote }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    command: [python, -m, services.{{ $workload.service }}]
    env: {{- include "arbstream.environment" . | nindent 6 }}
    ports:
      - {name: health, containerPort: 9464}
{{- if $row.port }}
      - {name: {{ $workload.service }}, containerPort: {{ $row.port }}}
{{- end }}
    # A start may wait for Redis or a venue for as long as that takes; only one that hangs is ended.
    startupProbe:
      httpGet: {path: /healthz, port: health}
      periodSeconds: 2
      timeoutSeconds: 3
      failureThreshold: 60
    livenessProbe:
      httpGet: {path: /healthz, port: health}
      periodSeconds: 10
      timeoutSeconds: 3
      failureThreshold: 3
    # A standby is ready.
    readinessProbe:
      httpGet: {path: /readyz, port: health}
      periodSeconds: 3
      timeoutSeconds: 3
      failureThreshold: 3
    resources:
{{- if $row.optional }}
      requests: {cpu: {{ $cpu | quote }}, memory: {{ $memory | quote }}}
      limits: {memory: {{ $memory | quote }}}
{{- else }}
      requests: {cpu: {{ $cpu | quote }}, memory: {{ $memory | quote }}}
      limits: {cpu: {{ $cpu | quote }}, memory: {{ $memory | quote }}}
{{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts:
      - {name: config, mountPath: /run/arb/config, readOnly: true}
      - {name: secret, mountPath: /run/arb/secret, readOnly: true}
      - {name: tmp, mountPath: /tmp}
{{- if or $values.redis.tlsCa.secret $values.redis.tlsCa.configMap }}
      - {name: tls, mountPath: /run/arb/tls, readOnly: true}
{{- end }}
{{- if $files.owner }}
      - {name: files, mountPath: /var/lib/arbstream, readOnly: {{ $files.readOnly }}}
{{- end }}
volumes:
  - name: config
    configMap: {name: {{ $fullname }}}
  - name: secret
    secret:
      secretName: {{ include "arbstream.secret" . }}
      defaultMode: 0440
      items:
{{- range include "arbstream.secretFiles" . | fromJson | values | uniq | sortAlpha }}
        - {key: {{ . | quote }}, path: {{ . | quote }}}
{{- end }}
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
{{- with $values.redis.tlsCa.secret }}
  - name: tls
    secret: {secretName: {{ . }}, items: [{key: {{ $values.redis.tlsCa.key | quote }}, path: ca.crt}]}
{{- end }}
{{- with $values.redis.tlsCa.configMap }}
  - name: tls
    configMap: {name: {{ . }}, items: [{key: {{ $values.redis.tlsCa.key | quote }}, path: ca.crt}]}
{{- end }}
{{- with $files.owner }}
  - name: files
    persistentVolumeClaim: {claimName: {{ $fullname }}-{{ . }}}
{{- end }}
{{- end }}
