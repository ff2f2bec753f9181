{{/* The name that all objects begin with. */}}
{{- define "arbstream.fullname" -}}
{{- $name := contains "arbstream" .Release.Name | ternary .Release.Name (printf "%s-arbstream" .Release.Name) -}}
{{- $name | replace "." "-" | trunc 30 | trimAll "-" -}}
{{- end }}

{{/* Labels of an object. Of: root, service (empty: of all). */}}
{{- define "arbstream.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: arbstream
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* What the pods of a service are found by. Of: root, service. */}}
{{- define "arbstream.selector" -}}
app.kubernetes.io/name: arbstream
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* What the pods of one workload are found by. Of: root, workload. */}}
{{- define "arbstream.podSelector" -}}
{{- include "arbstream.selector" (list (index . 0) (index . 1).service) }}
arbstream/workload: {{ (index . 1).name }}
{{- end }}

{{/* What the pods of one group are found by. Of: root, workload. */}}
{{- define "arbstream.groupSelector" -}}
{{- include "arbstream.selector" (list (index . 0) (index . 1).service) }}
arbstream/group: {{ (index . 1).group }}
{{- end }}

{{/*
What runs, as JSON: a list of workloads with the name of the object, the service, its row of
services.yaml, its own values, its venue and feed where there is one per venue, and its replicas.
A group is of workloads that stand in for each other: feeds a and b of one venue, else one alone.
*/}}
{{- define "arbstream.workloads" -}}
{{- $config := fromToml .Values.config -}}
{{- include "arbstream.check" (list . $config) -}}
{{- $fullname := include "arbstream.fullname" . -}}
{{- $shards := dig "bus" "shards" 1 $config -}}
{{- $found := list }}{{ $names := dict -}}
{{- range $service, $row := .Files.Get "services.yaml" | fromYaml }}
  {{- $own := get $.Values.services $service | default dict }}
  {{- $section := get $config $service | default dict }}
  {{- $runs := not $row.asked }}
  {{- range $key, $default := $row.asked }}
    {{- if hasKey $section $key | ternary (get $section $key) $default }}{{ $runs = true }}{{ end }}
  {{- end }}
  {{- if kindIs "bool" $own.enabled }}{{ $runs = $own.enabled }}{{ end }}
  {{- $replicas := 1 }}
  {{- if eq $row.instances "sharded" }}{{ $replicas = $shards }}{{ end }}
  {{- if and (eq $row.instances "leased") (not $row.optional) }}{{ $replicas = 2 }}{{ end }}
  {{- $replicas = $own.replicas | default $replicas | int }}
  {{- $venues := list "" }}
  {{- if $row.venuesVariable }}{{ $venues = $own.venues | default (keys ($config.venues | default dict) | sortAlpha) }}{{ end }}
  {{- range $venue := $runs | ternary $venues list }}
    {{- $group := printf "%s-%s" $fullname $service }}{{ $feeds := list "a" }}
    {{- if $venue }}
      {{- $group = printf "%s-%s" $group ($venue | lower | replace "_" "-" | replace "." "-") | trunc 50 | trimAll "-" }}
      {{- if dig $venue "two_feeds" false $config.venues }}{{ $feeds = list "a" "b" }}{{ end }}
    {{- end }}
    {{- range $feed := $feeds }}
      {{- $name := eq $feed "a" | ternary $group (printf "%s-%s" $group $feed) }}
      {{- if hasKey $names $name }}
        {{- fail (printf "venues %s and %s would both be named %s; rename one" (get $names $name) $venue $name) }}
      {{- end }}
      {{- $_ := set $names $name $venue }}
      {{- $pods := mul (len $feeds) $replicas }}
      {{- $found = append $found (dict "name" $name "group" $group "service" $service "row" $row "own" $own "venue" $venue "feed" $feed "replicas" $replicas "pods" $pods) }}
    {{- end }}
  {{- end }}
{{- end -}}
{{- toJson $found -}}
{{- end }}

{{/* The services that run, as JSON: each once, as the first of its workloads. */}}
{{- define "arbstream.services" -}}
{{- $found := list }}{{ $seen := dict -}}
{{- range include "arbstream.workloads" . | fromJsonArray }}
  {{- if not (hasKey $seen .service) }}{{ $found = append $found . }}{{ end }}
  {{- $_ := set $seen .service true }}
{{- end -}}
{{- toJson $found -}}
{{- end }}

{{/* The name of a service's Secret. Of: root, workload. */}}
{{- define "arbstream.secret" -}}
{{- $workload := index . 1 -}}
{{- $workload.own.secret | default (printf "%s-%s" (index . 0).Values.secretPrefix $workload.service) -}}
{{- end }}

{{/* Variable -> key of the service's Secret, as JSON: what it reads from files. Of: root, workload. */}}
{{- define "arbstream.secretFiles" -}}
{{- $root := index . 0 }}{{ $workload := index . 1 -}}
{{- $config := fromToml $root.Values.config -}}
{{- $files := dict "ARB_REDIS_PASSWORD" "redis_password" -}}
{{- range $workload.row.keys }}
  {{- $_ := set $files (printf "ARB_%s_KEY" (upper .)) (printf "%s_key" .) }}
{{- end -}}
{{- if and $workload.row.venueKeys (ne (dig "executor" "mode" "paper" $config) "paper") }}
  {{- range $venue, $section := $config.venues }}
    {{- if dig "trade" true $section }}
      {{- range $part := list "key" "secret" }}
        {{- $_ := set $files (printf "ARB_%s_API_%s" (upper $venue) (upper $part)) (printf "%s_api_%s" $venue $part) }}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end -}}
{{- if eq $workload.service "notifier" }}
  {{- range dig "notifier" "channels" list $config }}
    {{- if or (ne .kind "email") (dig "user" "" .) }}
      {{- $_ := set $files (printf "ARB_NOTIFY_%s_SECRET" (upper .name)) .name }}
    {{- end }}
  {{- end }}
{{- end -}}
{{- if and (eq $workload.service "dashboard") (dig "dashboard" "operator" false $config) }}
  {{- $_ := set $files "ARB_DASHBOARD_REDIS_PASSWORD" "operator_redis_password" }}
  {{- $_ := set $files "ARB_COMMAND_KEY" "command_key" }}
{{- end -}}
{{- toJson (merge (deepCopy ($workload.own.secretFiles | default dict)) $files) -}}
{{- end }}
