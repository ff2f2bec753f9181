{{/* Refuses, in one line, what would not run or not as its owner wants. Of: root, the parsed arb.toml. */}}
{{- define "arbstream.check" -}}
{{- $values := (index . 0).Values }}{{ $config := index . 1 -}}
{{- if hasKey $config "Error" }}
  {{- fail (printf "config is no TOML: %s; arb config check names the place" $config.Error) }}
{{- end -}}
{{- if regexMatch "://[^/@\\s\"']*:[^/@\\s\"']+@|[?&](sentinel_)?password=" $values.config }}
  {{- fail "config has an address with a password, which everybody who may read ConfigMaps would see; give it as services.NAME.secretFiles" }}
{{- end -}}
{{- if not $config.venues }}
  {{- fail "config has no [venues.NAME]; name at least one with its instruments" }}
{{- end -}}
{{- range $name, $section := $config.venues }}
  {{- if not (regexMatch "^[A-Za-z0-9_.-]{1,64}$" $name) }}
    {{- fail (printf "config has venues.%s; a name has 1 to 64 letters, digits, _, . or -" $name) }}
  {{- end }}
{{- end -}}
{{- if not (regexMatch "^([1-9]|[1-5][0-9]|6[0-4])$" (dig "bus" "shards" 1 $config | toString)) }}
  {{- fail (printf "config has bus.shards = %v; give 1 to 64" (dig "bus" "shards" 1 $config)) }}
{{- end -}}
{{- if and (eq (dig "executor" "mode" "paper" $config) "live") (ne $values.liveTrading "yes-trade-real-money") }}
  {{- fail "config has executor.mode = \"live\", but liveTrading is not yes-trade-real-money; live trading must be asked for twice" }}
{{- end -}}
{{- range dig "ingestor" "venues" list $values.services }}
  {{- if not (hasKey $config.venues .) }}
    {{- fail (printf "services.ingestor.venues names %s; config has %s" . (keys $config.venues | sortAlpha | join ", ")) }}
  {{- end }}
{{- end -}}
{{- if not (or (hasPrefix "rediss" $values.redis.url) $values.redis.allowPlaintext) }}
  {{- fail "redis.url is not encrypted: passwords and plans would cross the network readable; give rediss://, or set redis.allowPlaintext" }}
{{- end -}}
{{- if regexMatch "[?&](sentinel_)?password=" $values.redis.url }}
  {{- fail "redis.url has a password, which everybody who may read pods would see; give it as services.NAME.secretFiles" }}
{{- end -}}
{{- $ports := list }}{{ range $values.networkPolicy.redis.ports }}{{ $ports = append $ports (toString .) }}{{ end -}}
{{- $usual := contains "+sentinel://" $values.redis.url | ternary "26379" "6379" -}}
{{- range regexReplaceAll "^[a-z+]+://([^/?]*).*$" $values.redis.url "${1}" | splitList "," }}
  {{- $port := regexReplaceAll "^:" (regexFind ":[0-9]+$" (regexReplaceAll "^\\[.*\\]" . "")) "" | default $usual }}
  {{- if not (has $port $ports) }}
    {{- fail (printf "redis.url has port %s, which networkPolicy.redis.ports lacks; add it" $port) }}
  {{- end }}
{{- end -}}
{{- if and $values.redis.tlsCa.secret $values.redis.tlsCa.configMap }}
  {{- fail "redis.tlsCa.secret and redis.tlsCa.configMap are both given; give one of them" }}
{{- end -}}
{{- if and $values.dashboard.allowedHosts $values.networkPolicy.enabled (not $values.dashboard.from) }}
  {{- fail "dashboard.allowedHosts is given and dashboard.from is empty, so nobody could connect; name the pods of your proxy" }}
{{- end -}}
{{- end }}
