{{- define "mainstay.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "mainstay.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mainstay.labels" -}}
{{ include "mainstay.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* The container, in either form. A program's chart takes it with: include "mainstay.container" . */}}
{{- define "mainstay.container" -}}
name: mainstay
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve, --config, /etc/mainstay/mainstay.toml, --log-format, json]
{{- if eq .Values.mode "sidecar" }}
# Ready before the program starts, ended after it.
restartPolicy: Always
{{- else }}
env:
  - name: MAINSTAY__RESP__LISTEN
    value: 0.0.0.0:6390
  - name: MAINSTAY__RESP__PASSWORD_FILE
    value: /run/secrets/mainstay/password
  - name: MAINSTAY__HTTP__LISTEN
    value: 0.0.0.0:6391
  - name: MAINSTAY__HTTP__TOKEN_FILE
    value: /run/secrets/mainstay/token
  - name: MAINSTAY__HTTP__ALLOWED_HOSTS
    value: '["{{ include "mainstay.name" . }}", "{{ include "mainstay.name" . }}.{{ .Release.Namespace }}", "{{ include "mainstay.name" . }}.{{ .Release.Namespace }}.svc"]'
  - name: MAINSTAY__HTTP__DRAIN_WAIT
    value: {{ .Values.drainWait | quote }}
ports:
  - name: resp
    containerPort: 6390
  - name: http
    containerPort: 6391
{{- end }}
{{- if eq .Values.mode "sidecar" }}
# It listens on loopback, where the kubelet does not come: the binary asks.
startupProbe:
  exec: { command: [/mainstay, status, --timeout, 2s, --output, quiet] }
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 30
livenessProbe:
  exec: { command: [/mainstay, status, --timeout, 3s, --output, quiet] }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- else }}
livenessProbe:
  httpGet: { path: /livez, port: http }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: { path: /readyz, port: http }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  capabilities: { drop: [ALL] }
  seccompProfile: { type: RuntimeDefault }
volumeMounts:
  - name: mainstay-config
    mountPath: /etc/mainstay
    readOnly: true
  - name: mainstay-data
    mountPath: /data
  {{- if .Values.existingSecret }}
  - name: mainstay-secrets
    mountPath: /run/secrets/mainstay
    readOnly: true
  {{- end }}
{{- end }}

{{/* What the container mounts, but for the data of a volume claim. */}}
{{- define "mainstay.volumes" -}}
- name: mainstay-config
  configMap:
    name: {{ include "mainstay.name" . }}
{{- if .Values.existingSecret }}
- name: mainstay-secrets
  secret:
    secretName: {{ .Values.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- if or (eq .Values.mode "sidecar") (not .Values.storage) }}
- name: mainstay-data
  emptyDir: {}
{{- end }}
{{- end }}
