{{/* Whole folders: a file that is mounted by subPath would never be renewed. */}}
{{- define "relay.mounts" -}}
{{- $mounts := list -}}
{{- if eq .Values.tls.source "secret" -}}
{{-   $mounts = append $mounts (dict "name" "certs" "mountPath" "/usr/src/smtp-relay/certs" "readOnly" true) -}}
{{- end -}}
{{- if include "relay.lookupSecret" . -}}
{{-   $mounts = append $mounts (dict "name" "lookup" "mountPath" "/etc/smtp-oauth-relay" "readOnly" true) -}}
{{- end -}}
{{- if eq .Values.queue.type "sqlite" -}}
{{-   $mounts = append $mounts (dict "name" "queue" "mountPath" "/var/lib/smtp-oauth-relay") -}}
{{- end -}}
{{- with concat $mounts .Values.extraVolumeMounts }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* Files have mode 0440 (288) and the pod's group. */}}
{{- define "relay.volumes" -}}
{{- $volumes := list -}}
{{- if eq .Values.tls.source "secret" -}}
{{-   $items := list (dict "key" "tls.crt" "path" "cert.pem") (dict "key" "tls.key" "path" "key.pem") -}}
{{-   $secret := dict "secretName" (include "relay.tlsSecret" .) "defaultMode" 288 "items" $items -}}
{{-   $volumes = append $volumes (dict "name" "certs" "secret" $secret) -}}
{{- end -}}
{{- if include "relay.lookupSecret" . -}}
{{-   $secret := dict "secretName" (include "relay.lookupSecret" .) "defaultMode" 288 -}}
{{-   $volumes = append $volumes (dict "name" "lookup" "secret" $secret) -}}
{{- end -}}
{{- with concat $volumes .Values.extraVolumes }}{{ toYaml . }}{{ end -}}
{{- end -}}
