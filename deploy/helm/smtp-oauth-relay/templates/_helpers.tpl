{{/* The name of everything. */}}
{{- define "relay.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "relay.selector" -}}
app.kubernetes.io/name: smtp-oauth-relay
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "relay.labels" -}}
{{ include "relay.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "relay.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "relay.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "relay.tlsSecret" -}}
{{- default (printf "%s-tls" (include "relay.name" .)) .Values.tls.secretName -}}
{{- end -}}

{{- define "relay.httpSecret" -}}
{{- default (printf "%s-http" (include "relay.name" .)) .Values.http.existingSecret -}}
{{- end -}}

{{- define "relay.lookupSecret" -}}
{{- if .Values.lookup.entries -}}
{{- printf "%s-lookup" (include "relay.name" .) -}}
{{- else -}}
{{- .Values.lookup.secretName -}}
{{- end -}}
{{- end -}}

{{/* How many relays run, as far as that is known. */}}
{{- define "relay.instances" -}}
{{- if eq .Values.queue.type "sqlite" -}}
1
{{- else if .Values.autoscaling.enabled -}}
{{ .Values.autoscaling.minReplicas }}
{{- else -}}
{{ .Values.replicas }}
{{- end -}}
{{- end -}}

{{- define "relay.memory" -}}
{{- default (ternary "256Mi" "384Mi" (eq .Values.queue.type "none")) .Values.resources.limits.memory -}}
{{- end -}}

{{/* All of the relay's settings that are no secret, as YAML. */}}
{{- define "relay.settings" -}}
{{- $settings := dict "SERVER_HOSTNAME" .Values.hostname "HTTP_LISTEN" ":8026" -}}
{{- $_ := set $settings "GRAPH_CONCURRENCY" (max 1 (div 4 (max 1 (include "relay.instances" . | int)))) -}}
{{- if eq .Values.tls.source "none" -}}
{{-   $_ := set $settings "TLS_SOURCE" "off" -}}
{{- else -}}
{{-   $_ := set $settings "SMTPS_LISTEN" ":8465" -}}
{{- end -}}
{{- if eq .Values.tls.source "keyvault" -}}
{{-   $_ := set $settings "TLS_SOURCE" "keyvault" -}}
{{-   $_ := set $settings "AZURE_KEY_VAULT_URL" .Values.tls.keyVault.url -}}
{{-   $_ := set $settings "AZURE_KEY_VAULT_CERT_NAME" .Values.tls.keyVault.certificateName -}}
{{- end -}}
{{- if .Values.workloadIdentity.enabled -}}
{{-   $_ := set $settings "AZURE_TOKEN_CREDENTIALS" "WorkloadIdentityCredential" -}}
{{- end -}}
{{- if include "relay.lookupSecret" . -}}
{{-   $_ := set $settings "LOOKUP_FILE" (printf "/etc/smtp-oauth-relay/%s" .Values.lookup.key) -}}
{{- end -}}
{{- if ne .Values.queue.type "none" -}}
{{-   $_ := set $settings "DELIVERY_MODE" "queue" -}}
{{- end -}}
{{- if eq .Values.queue.type "sqlite" -}}
{{-   $_ := set $settings "QUEUE_URL" "sqlite:/var/lib/smtp-oauth-relay/queue.db" -}}
{{- else if eq .Values.queue.type "azure" -}}
{{-   $_ := set $settings "QUEUE_URL" (printf "azure-storage:%s" .Values.queue.azure.url) -}}
{{- end -}}
{{- range $name, $value := .Values.settings -}}
{{-   if kindIs "float64" $value -}}
{{-     $_ := set $settings $name (int64 $value) -}}
{{-   else if not (kindIs "invalid" $value) -}}
{{-     $_ := set $settings $name $value -}}
{{-   end -}}
{{- end -}}
{{- range $name, $value := $settings }}
{{ $name }}: {{ $value | toString | quote }}
{{- end -}}
{{- end -}}
