{{/* What the schema of the values cannot say: each mistake is a line of its own, all at once. */}}
{{- define "relay.checks" -}}
{{- $problems := list -}}
{{- $decided := dict
  "SERVER_HOSTNAME" "hostname" "TLS_SOURCE" "tls.source"
  "TLS_CERT_FILEPATH" "tls.secretName" "TLS_KEY_FILEPATH" "tls.secretName"
  "AZURE_KEY_VAULT_URL" "tls.keyVault.url" "AZURE_KEY_VAULT_CERT_NAME" "tls.keyVault.certificateName"
  "SMTP_LISTEN" "service.ports" "SMTPS_LISTEN" "service.ports" "HTTP_LISTEN" "http"
  "LOOKUP_FILE" "lookup" "DELIVERY_MODE" "queue.type" "QUEUE_URL" "queue" -}}
{{- range $name, $place := $decided -}}
{{-   if hasKey $.Values.settings $name -}}
{{-     $problems = append $problems (printf "settings.%s: the value %s decides this" $name $place) -}}
{{-   end -}}
{{- end -}}
{{- $secrets := list "HTTP_PASSWORD" "AZURE_CLIENT_SECRET" "HTTPS_PROXY" "AZURE_TABLES_CONNECTION_STRING"
  "TRUSTED_PASSWORD" "QUEUE_CONNECTION_STRING" "QUEUE_KEY" "SMARTHOST_PASSWORD" "WEBHOOK_URL"
  "WEBHOOK_SECRET" "OTEL_EXPORTER_OTLP_HEADERS" "CLIENT_SECRET" -}}
{{- range $name := $secrets -}}
{{-   if hasKey $.Values.settings $name -}}
{{-     $problems = append $problems (printf "settings.%s: this is a secret: name a secret of the cluster in secretSettings" $name) -}}
{{-   end -}}
{{- end -}}
{{- range $name, $place := dict "HTTP_PASSWORD" "http.existingSecret" "QUEUE_KEY" "queue.keySecret" -}}
{{-   if hasKey $.Values.secretSettings $name -}}
{{-     $problems = append $problems (printf "secretSettings.%s: the value %s decides this" $name $place) -}}
{{-   end -}}
{{- end -}}
{{- if eq .Values.tls.source "keyvault" -}}
{{-   range $name := list "url" "certificateName" -}}
{{-     if not (index $.Values.tls.keyVault $name) -}}
{{-       $problems = append $problems (printf "tls.keyVault.%s: is needed with tls.source keyvault" $name) -}}
{{-     end -}}
{{-   end -}}
{{- end -}}
{{- if .Values.tls.certManager.enabled -}}
{{-   if ne .Values.tls.source "secret" -}}
{{-     $problems = append $problems "tls.certManager.enabled: needs tls.source secret" -}}
{{-   end -}}
{{-   if not .Values.tls.certManager.issuerRef.name -}}
{{-     $problems = append $problems "tls.certManager.issuerRef.name: is needed" -}}
{{-   end -}}
{{- end -}}
{{- if and (eq .Values.queue.type "azure") (not .Values.queue.azure.url) -}}
{{-   $problems = append $problems "queue.azure.url: is needed with queue.type azure" -}}
{{- end -}}
{{- if and .Values.lookup.secretName .Values.lookup.entries -}}
{{-   $problems = append $problems "lookup: either secretName or entries" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) -}}
{{-   $problems = append $problems "autoscaling.maxReplicas: is less than minReplicas" -}}
{{- end -}}
{{- if and (ne .Values.service.type "LoadBalancer") .Values.service.loadBalancerClass -}}
{{-   $problems = append $problems "service.loadBalancerClass: needs service.type LoadBalancer" -}}
{{- end -}}
{{- if and (eq .Values.service.type "LoadBalancer") (not .Values.service.loadBalancerSourceRanges) -}}
{{-   $problems = append $problems "service.loadBalancerSourceRanges: none lets everybody in: name networks, or 0.0.0.0/0" -}}
{{- end -}}
{{- /* A node's address would stand for every client's: each of them would be trusted. */ -}}
{{- if and (ne .Values.service.type "ClusterIP") (ne .Values.service.externalTrafficPolicy "Local") .Values.settings.TRUSTED_NETWORKS (not .Values.settings.PROXY_PROTOCOL_NETWORKS) -}}
{{-   $problems = append $problems "settings.TRUSTED_NETWORKS: needs service.externalTrafficPolicy Local, which keeps the clients' addresses" -}}
{{- end -}}
{{- $timeout := toString (default "90s" .Values.settings.SHUTDOWN_TIMEOUT) -}}
{{- if regexMatch "^[0-9]+[smh]$" $timeout -}}
{{-   $unit := get (dict "s" 1 "m" 60 "h" 3600) (regexFind "[smh]$" $timeout) -}}
{{-   $needed := add 8 (mul (regexFind "^[0-9]+" $timeout | int) $unit) -}}
{{-   if lt (int .Values.terminationGracePeriodSeconds) (int $needed) -}}
{{-     $problems = append $problems (printf "terminationGracePeriodSeconds: must be at least %d with SHUTDOWN_TIMEOUT %s" $needed $timeout) -}}
{{-   end -}}
{{- end -}}
{{- if $problems -}}
{{-   printf "\n\n%s\n" (join "\n" $problems) | fail -}}
{{- end -}}
{{- end -}}
