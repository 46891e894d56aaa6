// The files of config/ as whoever deploys them reads them: YAML documents by kind, checked against the schemas of
// Kubernetes itself, and the turnout configs inside them.
import { readdirSync, readFileSync } from 'node:fs'
import { validate as deployment } from 'kubernetes-models/_schemas/IoK8sApiAppsV1Deployment'
import { validate as configMap } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ConfigMap'
import { validate as namespace } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Namespace'
import { validate as secret } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Secret'
import { validate as service } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Service'
import { validate as serviceAccount } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ServiceAccount'
import { validate as networkPolicy } from 'kubernetes-models/_schemas/IoK8sApiNetworkingV1NetworkPolicy'
import { validate as disruptionBudget } from 'kubernetes-models/_schemas/IoK8sApiPolicyV1PodDisruptionBudget'
import { parseAllDocuments } from 'yaml'

/** Where a file of config/ lies. */
export const configPath = (name: string): string => new URL(`../../config/${name}`, import.meta.url).pathname

export const configText = (name: string): string => readFileSync(configPath(name), 'utf8')

/** One object of Kubernetes; tests read into it whatever its kind has. */
export type Manifest = {
  file: string
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; labels: Record<string, string> }
  // biome-ignore lint/suspicious/noExplicitAny: the schema check says what it holds.
  [field: string]: any
}

/** All objects of all files in config/kubernetes. */
export const manifests: readonly Manifest[] = readdirSync(configPath('kubernetes')).flatMap(name =>
  parseAllDocuments(configText(`kubernetes/${name}`)).map(document => {
    if (document.errors.length > 0) throw new Error(`${name}: ${document.errors[0]!.message}`)
    return { file: name, ...document.toJS() } as Manifest
  }),
)

/** The object of a kind with a name; fails when there is none or several. */
export function manifest(kind: string, name: string, namespace = 'turnout'): Manifest {
  const found = manifests.filter(
    ({ kind: its, metadata }) =>
      its === kind && metadata.name === name && (metadata.namespace ?? namespace) === namespace,
  )
  if (found.length !== 1) throw new Error(`${found.length} × ${kind} ${namespace}/${name}`)
  return found[0]!
}

type Validate = ((data: unknown) => boolean) & {
  errors?: { instancePath: string; keyword: string; params: object }[] | null
}

/** The compiled schemas of Kubernetes. */
const SCHEMAS: Readonly<Record<string, Validate>> = {
  'apps/v1 Deployment': deployment,
  'networking.k8s.io/v1 NetworkPolicy': networkPolicy,
  'policy/v1 PodDisruptionBudget': disruptionBudget,
  'v1 ConfigMap': configMap,
  'v1 Namespace': namespace,
  'v1 Secret': secret,
  'v1 Service': service,
  'v1 ServiceAccount': serviceAccount,
}

/**
 * What is wrong with an object, by path; empty when it is as the schema of its kind wants it. That schema lets unknown
 * fields pass, which the API server drops without a word. A field that no rule looked at is one.
 */
export function mistakesIn({ file: _, ...object }: Manifest): string[] {
  const validate = SCHEMAS[`${object.apiVersion} ${object.kind}`]
  if (validate === undefined) return [`${object.apiVersion} ${object.kind} is no kind that is known here`]
  const watched = watch(object)
  const isValid = validate(watched.value)
  const wrong = isValid
    ? []
    : validate.errors!.map(error => `${error.instancePath}: ${error.keyword} ${JSON.stringify(error.params)}`)
  return [...wrong, ...watched.unread('').map(path => `${path} is no field of ${object.kind}`)]
}

type Watched = { value: unknown; unread: (path: string) => string[] }

/** A value that remembers which of its fields were read. */
function watch(value: unknown): Watched {
  if (value === null || typeof value !== 'object') return { value, unread: () => [] }
  const fields = new Map<string, Watched>()
  const proxy = new Proxy(value, {
    get(target, name) {
      const field = Reflect.get(target, name)
      if (typeof name === 'symbol' || !Object.hasOwn(target, name)) return field
      if (!fields.has(name)) fields.set(name, watch(field))
      return fields.get(name)!.value
    },
  })
  const unread = (path: string) =>
    Object.keys(value).flatMap(name => fields.get(name)?.unread(`${path}/${name}`) ?? [`${path}/${name}`])
  return { value: proxy, unread }
}
