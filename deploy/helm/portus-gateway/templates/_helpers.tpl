{{- define "portus-gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "portus-gateway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains (include "portus-gateway.name" .) .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "portus-gateway.name" .) | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "portus-gateway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "portus-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "portus-gateway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "portus-gateway.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "portus-gateway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "portus-gateway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "portus-gateway.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "portus-gateway.passwordSecret" -}}
{{- default (printf "%s-password" (include "portus-gateway.fullname" .)) .Values.registry.passwordSecret.name -}}
{{- end -}}

{{- define "portus-gateway.tokenSecret" -}}
{{- default (printf "%s-tokens" (include "portus-gateway.fullname" .)) .Values.callers.tokens.secret -}}
{{- end -}}

{{- define "portus-gateway.policyConfigMap" -}}
{{- default (printf "%s-policy" (include "portus-gateway.fullname" .)) .Values.policy.configMap -}}
{{- end -}}

{{- define "portus-gateway.tlsSecret" -}}
{{- if .Values.tls.secretName -}}
{{- .Values.tls.secretName -}}
{{- else if .Values.tls.certManager.enabled -}}
{{- printf "%s-tls" (include "portus-gateway.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "portus-gateway.hasTokens" -}}
{{- if or .Values.callers.tokens.secret .Values.callers.tokens.lines -}}true{{- end -}}
{{- end -}}

{{- define "portus-gateway.hasPolicy" -}}
{{- if or .Values.policy.content .Values.policy.configMap -}}true{{- end -}}
{{- end -}}

{{- define "portus-gateway.hasCa" -}}
{{- if or .Values.registry.ca.configMap .Values.registry.ca.secret -}}true{{- end -}}
{{- end -}}

{{/* Whether the index is in SQLite, on a volume. */}}
{{- define "portus-gateway.indexVolume" -}}
{{- if and .Values.index.enabled (not .Values.index.postgres.url) -}}true{{- end -}}
{{- end -}}

{{/* The settings that are no secrets: variables of the container. */}}
{{- define "portus-gateway.settings" -}}
{{- $files := "/etc/portus-gateway" -}}
PORTUS_REGISTRY_URL: {{ required "registry.url is required: the address of the registry" .Values.registry.url | quote }}
{{- if .Values.registry.anonymous }}
PORTUS_REGISTRY_ANONYMOUS: "true"
{{- else }}
PORTUS_USERNAME: {{ .Values.registry.username | quote }}
PORTUS_PASSWORD_FILE: {{ printf "%s/password/%s" $files .Values.registry.passwordSecret.key }}
{{- end }}
{{- with .Values.registry.tokenRealm }}
PORTUS_TOKEN_REALM: {{ . | quote }}
{{- end }}
{{- if include "portus-gateway.hasCa" . }}
PORTUS_CA_FILE: {{ printf "%s/ca/%s" $files .Values.registry.ca.key }}
{{- end }}
PORTUS_LISTEN: {{ printf ":%d" (int .Values.service.port) | quote }}
PORTUS_METRICS_LISTEN: {{ printf ":%d" (int .Values.metrics.port) | quote }}
PORTUS_DRAIN_GRACE: {{ .Values.drainGraceSeconds | quote }}
{{- if include "portus-gateway.tlsSecret" . }}
PORTUS_TLS_CERTIFICATE_FILE: {{ $files }}/tls/tls.crt
PORTUS_TLS_KEY_FILE: {{ $files }}/tls/tls.key
{{- end }}
{{- if .Values.tls.insecure }}
PORTUS_INSECURE: "true"
{{- end }}
{{- if .Values.callers.mtls.enabled }}
PORTUS_TLS_CLIENT_CA_FILE: {{ printf "%s/%s/%s" $files (ternary "client-ca" "tls" (ne .Values.callers.mtls.caConfigMap "")) .Values.callers.mtls.caKey }}
{{- if .Values.callers.mtls.port }}
PORTUS_MTLS_LISTEN: {{ printf ":%d" (int .Values.callers.mtls.port) | quote }}
{{- end }}
{{- end }}
{{- if include "portus-gateway.hasTokens" . }}
PORTUS_CALLER_TOKEN_FILE: {{ printf "%s/tokens/%s" $files .Values.callers.tokens.key }}
{{- end }}
{{- with .Values.callers.jwt }}
{{- if .issuer }}
PORTUS_JWT_ISSUER: {{ .issuer | quote }}
PORTUS_JWT_AUDIENCE: {{ required "callers.jwt.audience is required with callers.jwt.issuer" .audience | quote }}
PORTUS_JWT_KEYS_URL: {{ required "callers.jwt.keysUrl is required with callers.jwt.issuer" .keysUrl | quote }}
{{- if .claims }}
PORTUS_JWT_CLAIMS: {{ .claims | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.callers.anonymous }}
PORTUS_ALLOW_ANONYMOUS: "true"
{{- end }}
{{- if include "portus-gateway.hasPolicy" . }}
PORTUS_POLICY_FILE: {{ printf "%s/policy/%s" $files .Values.policy.key }}
{{- end }}
{{- if .Values.deletes }}
PORTUS_ALLOW_DELETE: "true"
{{- end }}
{{- if .Values.pageTokenKeys.secret }}
PORTUS_PAGE_TOKEN_KEY_FILE: {{ printf "%s/page-token-keys/%s" $files .Values.pageTokenKeys.key }}
{{- end }}
{{- if .Values.index.enabled }}
{{- if .Values.index.postgres.url }}
PORTUS_INDEX: {{ .Values.index.postgres.url | quote }}
{{- else }}
PORTUS_INDEX: sqlite:///var/lib/portus-gateway/index.db
{{- end }}
{{- if .Values.index.postgres.passwordSecret }}
PORTUS_INDEX_PASSWORD_FILE: {{ printf "%s/index-password/%s" $files .Values.index.postgres.key }}
{{- end }}
{{- if .Values.index.notifications.port }}
PORTUS_NOTIFICATIONS_LISTEN: {{ printf ":%d" (int .Values.index.notifications.port) | quote }}
PORTUS_NOTIFICATIONS_TOKEN_FILE: {{ printf "%s/notification-tokens/%s" $files .Values.index.notifications.key }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
PORTUS_{{ $name }}: {{ include "portus-gateway.plain" $value }}
{{- end }}
{{- range $name, $value := .Values.otel }}
OTEL_{{ $name }}: {{ include "portus-gateway.plain" $value }}
{{- end }}
{{- end -}}

{{/* A value as a quoted text. Helm reads whole numbers as floating ones. */}}
{{- define "portus-gateway.plain" -}}
{{ ternary (. | int64 | toString) (. | toString) (and (kindIs "float64" .) (eq (. | floor) (. | float64))) | quote }}
{{- end -}}

{{/* Values that do not fit together: an error here is better than a pod that does not start. */}}
{{- define "portus-gateway.check" -}}
{{- $tls := include "portus-gateway.tlsSecret" . -}}
{{- if and (not .Values.registry.anonymous) (not .Values.registry.passwordSecret.name) (not .Values.registry.password) -}}
{{- fail "set registry.passwordSecret.name (a Secret with the password of the registry account), registry.password, or registry.anonymous" -}}
{{- end -}}
{{- if and .Values.registry.password .Values.registry.passwordSecret.name -}}
{{- fail "set either registry.password or registry.passwordSecret.name" -}}
{{- end -}}
{{- if and (not $tls) (not .Values.tls.insecure) -}}
{{- fail "set tls.secretName, tls.certManager.enabled, or tls.insecure (if a mesh encrypts)" -}}
{{- end -}}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.issuerRef.name is required with tls.certManager.enabled" -}}
{{- end -}}
{{- if and .Values.callers.mtls.enabled (not $tls) -}}
{{- fail "callers.mtls needs TLS: set tls.secretName or tls.certManager.enabled" -}}
{{- end -}}
{{- $authenticates := or .Values.callers.mtls.enabled (include "portus-gateway.hasTokens" .) .Values.callers.jwt.issuer -}}
{{- if and (not $authenticates) (not .Values.callers.anonymous) -}}
{{- fail "set callers.mtls, callers.tokens or callers.jwt, or callers.anonymous (if a mesh authenticates callers)" -}}
{{- end -}}
{{- if and $authenticates (not (include "portus-gateway.hasPolicy" .)) -}}
{{- fail "set policy.content or policy.configMap: it says what each caller may do (docs/policy.md)" -}}
{{- end -}}
{{- if and (include "portus-gateway.indexVolume" .) (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) -}}
{{- fail "index.enabled needs index.postgres.url, or replicas: 1 and no autoscaling: two gateways never share an index in SQLite" -}}
{{- end -}}
{{- if and .Values.index.postgres.passwordSecret (not .Values.index.postgres.url) -}}
{{- fail "index.postgres.url is required with index.postgres.passwordSecret" -}}
{{- end -}}
{{- if and .Values.index.notifications.port (not .Values.index.enabled) -}}
{{- fail "index.notifications needs index.enabled" -}}
{{- end -}}
{{- if and .Values.index.notifications.port (not .Values.index.notifications.tokenSecret) -}}
{{- fail "index.notifications.tokenSecret is required with index.notifications.port" -}}
{{- end -}}
{{- if and .Values.policy.content .Values.policy.configMap -}}
{{- fail "set either policy.content or policy.configMap" -}}
{{- end -}}
{{- end -}}
