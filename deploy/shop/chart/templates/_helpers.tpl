{{- /* Labels of everything that belongs to one part: a service or a store. */ -}}
{{- define "shop.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/part-of: shop
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "shop.match" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/part-of: shop
{{- end -}}

{{- /* What a service is set to: its own values over the defaults. */ -}}
{{- define "shop.service" -}}
{{- toYaml (merge (deepCopy (index .root.Values.services .name | default dict)) (deepCopy .root.Values.defaults)) -}}
{{- end -}}

{{- define "shop.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "shop.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "shop.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- /* Never two replicas of one store on one node; different stores on different
nodes where there are some. */ -}}
{{- define "shop.storePlace" -}}
{{- with .root.Values.stores.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
tolerations:
# Its volume may be on its node's disk, so that it could not go anywhere else: it
# waits for its node to come back.
- key: node.kubernetes.io/not-ready
  operator: Exists
  effect: NoExecute
- key: node.kubernetes.io/unreachable
  operator: Exists
  effect: NoExecute
{{- with .root.Values.stores.tolerations }}
{{ toYaml . }}
{{- end }}
affinity:
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- include "shop.match" . | nindent 10 }}
    preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 50
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            app.kubernetes.io/part-of: shop
            app.kubernetes.io/component: store
topologySpreadConstraints:
- topologyKey: topology.kubernetes.io/zone
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  nodeTaintsPolicy: Honor
  labelSelector:
    matchLabels:
      {{- include "shop.match" . | nindent 6 }}
{{- end -}}

{{- define "shop.volumeClaims" -}}
volumeClaimTemplates:
- metadata:
    name: data
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .root.Values.stores.storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ .store.storage }}
{{- end -}}

{{- define "shop.storeAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "shop.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
# Drains take one replica at a time.
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "shop.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "shop.match" . | nindent 6 }}
---
# A virtual address that stays when the pod is made anew: no client waits for a
# name server's cache.
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "shop.labels" . | nindent 4 }}
spec:
  selector:
    {{- include "shop.match" . | nindent 4 }}
  ports:
  {{- toYaml .ports | nindent 2 }}
{{- end -}}

{{- /* A password: as given, else as it is in the cluster, else a new one. */ -}}
{{- define "shop.password" -}}
{{- $given := index .root.Values.passwords .value -}}
{{- if $given -}}
{{- $given -}}
{{- else -}}
{{- $kept := lookup "v1" "Secret" .root.Release.Namespace .secret -}}
{{- if and $kept $kept.data (hasKey $kept.data .key) -}}
{{- index $kept.data .key | b64dec -}}
{{- else -}}
{{- randAlphaNum 24 -}}
{{- end -}}
{{- end -}}
{{- end -}}
