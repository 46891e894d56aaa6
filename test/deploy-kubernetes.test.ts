// The manifests of config/kubernetes: objects that Kubernetes takes field by field, that fit each other, and that stop,
// probe and secure turnout as its own config needs it.
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { parseDuration } from '../src/config/units.ts'
import { configOf, problemsOf } from './config-text.ts'
import { configText, type Manifest, manifest, manifests, mistakesIn } from './support/manifests.ts'

type Container = Manifest['spec']

const ENV = { TURNOUT_ADMIN_TOKEN: 'f'.repeat(48), TURNOUT_REDIS_PASSWORD: '1234567890' }

/** Known and meant: the admin port is on the network of the pods, where network.yaml says who may reach it. */
const EXPOSED = [expect.stringMatching(/^\d+:\d+: warning CONFIG_ADMIN_EXPOSED admin\.address: [^\n]*$/)]

/** A pod with turnout in it, and what belongs to it. */
const PODS = [
  { what: 'edge', namespace: 'turnout', workload: 'turnout', config: 'turnout', admin: 'turnout-admin' },
  { what: 'sidecar', namespace: 'shop', workload: 'shop', config: 'shop-turnout', admin: 'shop-admin' },
].map(({ namespace, workload, config, admin, what }) => {
  const deployment = manifest('Deployment', workload, namespace)
  const pod = deployment.spec.template.spec
  const containers: Container[] = [...(pod.initContainers ?? []), ...pod.containers]
  return {
    ...{ what, namespace, deployment, pod, containers },
    labels: deployment.spec.template.metadata.labels as Record<string, string>,
    turnout: containers.find(({ name }) => name === 'turnout')!,
    text: manifest('ConfigMap', config, namespace).data['turnout.yaml'] as string,
    traffic: manifest('Service', workload, namespace),
    admin: manifest('Service', admin, namespace),
    budget: manifest('PodDisruptionBudget', workload, namespace),
    policy: manifest('NetworkPolicy', workload, namespace),
  }
})

/** Ms from what Kubernetes calls seconds. */
const seconds = (number: number) => number * 1000

describe('every manifest', () => {
  test.each(manifests.filter(({ file }) => file !== 'kustomization.yaml'))(
    '$file: $kind $metadata.name is what the schema of Kubernetes wants, without fields it does not know',
    object => {
      expect(mistakesIn(object)).toEqual([])
      if (object.kind !== 'Namespace') expect(object.metadata.namespace).toMatch(/^(turnout|shop)$/)
      expect(Object.keys(object.metadata.labels)).not.toEqual([])
    },
  )

  test('the check sees a wrong type, a wrong quantity, a missing field and a misspelt one', () => {
    const wrong = structuredClone(manifest('Deployment', 'turnout'))
    const [container] = wrong.spec.template.spec.containers
    wrong.spec.replicas = '3'
    wrong.spec.template.spec.terminationGracePeriod = 45
    container.resources.limits.memory = '1GB'
    container.livenesProbe = container.livenessProbe
    delete wrong.spec.selector
    const mistakes = mistakesIn(wrong).join('\n')
    expect(mistakes).toContain('/spec/replicas: type {"type":"integer"}')
    expect(mistakes).toContain('/spec: required {"missingProperty":"selector"}')
    expect(mistakes).toContain('/spec/template/spec/containers/0/resources/limits/memory: format {"format":"quantity"}')
    expect(mistakes).toContain('/spec/template/spec/terminationGracePeriod is no field of Deployment')
    expect(mistakes).toContain('/spec/template/spec/containers/0/livenesProbe is no field of Deployment')
  })

  test('kustomization lists all files but the Secret, which it would empty, and the sidecar', () => {
    const { resources, images, namespace } = parse(configText('kubernetes/kustomization.yaml'))
    const files = new Set(manifests.map(({ file }) => file))
    for (const apart of ['kustomization.yaml', 'secret.yaml', 'sidecar.yaml']) expect(files.delete(apart)).toBe(true)
    expect([...resources].sort()).toEqual([...files].sort())
    expect(namespace).toBe('turnout')
    const { image } = PODS[0]!.turnout
    expect(`${images[0].name}:${images[0].newTag}`).toBe(image)
  })
})

describe.each(PODS)(
  '$what',
  ({ deployment, pod, containers, labels, turnout, text, traffic, admin, budget, policy }) => {
    test('its config is valid, and warns only of the admin port', () => {
      expect(problemsOf(text, ENV)).toEqual(EXPOSED)
    })

    test('its config takes its secrets from the Secret, and is refused while that is empty', () => {
      const { stringData } = manifest('Secret', 'turnout')
      const given = Object.fromEntries(
        turnout.env.map(({ name, valueFrom }: Container) => {
          expect(valueFrom.secretKeyRef.name).toBe('turnout')
          return [name, stringData[valueFrom.secretKeyRef.key]]
        }),
      )
      expect(Object.keys(given).sort()).toEqual([...new Set(text.match(/(?<=\$\{)\w+/g))].sort())
      const errors = problemsOf(text, given).filter(problem => !problem.includes(' warning '))
      expect(errors.map(problem => problem.split(' ').slice(1, 3).join(' '))).toEqual([
        'CONFIG_EMPTY admin.tokens[0].secret:',
        'CONFIG_CONFLICT redis.username:',
      ])
    })

    test('it is mounted where it is looked for, and the state where it may be written', () => {
      const { state } = configOf(text, ENV)
      const file = turnout.args[turnout.args.indexOf('--config') + 1] as string
      const mounts = new Map<string, Container>(
        turnout.volumeMounts.map((mount: Container) => [mount.mountPath, mount]),
      )
      const volumeOf = (path: string) => pod.volumes.find(({ name }: Container) => name === mounts.get(path)!.name)
      expect(volumeOf('/etc/turnout').configMap.name).toMatch(/turnout$/)
      expect(file).toBe('/etc/turnout/turnout.yaml')
      expect(mounts.get('/etc/turnout')!.readOnly).toBe(true)
      expect(volumeOf(state.dir).emptyDir.sizeLimit).toBeTruthy()
      expect(mounts.get(state.dir)!.readOnly).toBeUndefined()
    })

    test('selectors find its pods, and ports have names that it has', () => {
      const chosen = (selector: Record<string, string>) =>
        Object.entries(selector).every(([name, value]) => labels[name] === value) && Object.keys(selector).length === 2
      expect(chosen(deployment.spec.selector.matchLabels)).toBe(true)
      expect(chosen(budget.spec.selector.matchLabels)).toBe(true)
      expect(chosen(policy.spec.podSelector.matchLabels)).toBe(true)
      for (const { labelSelector } of pod.topologySpreadConstraints)
        expect(chosen(labelSelector.matchLabels)).toBe(true)
      expect([chosen(traffic.spec.selector), chosen(admin.spec.selector)]).toEqual([true, true])
      const { listeners, admin: api } = configOf(text, ENV)
      const portOf = (address: string) => Number(address.split(':').at(-1))
      expect(turnout.ports).toEqual([
        { name: 'http', containerPort: portOf(listeners[0]!.address) },
        { name: 'admin', containerPort: portOf(api.address) },
      ])
      expect(traffic.spec.ports.map((port: Container) => port.targetPort)).toEqual(['http'])
      expect(admin.spec.ports.map((port: Container) => port.targetPort)).toEqual(['admin'])
      expect(policy.spec.ingress.map(({ ports }: Container) => ports[0].port)).toEqual(['http', 'admin'])
      // Clients from anywhere, the admin port from those that are named.
      expect(policy.spec.ingress.map(({ from }: Container) => from?.length ?? 0)).toEqual([0, 2])
    })

    test('the admin API answers to the names of its service, which has every pod, ready or not', () => {
      const { name, namespace } = admin.metadata
      const { hosts, tokens, address } = configOf(text, ENV).admin
      expect(hosts).toEqual([
        name,
        `${name}.${namespace}`,
        `${name}.${namespace}.svc`,
        `${name}.${namespace}.svc.cluster.local`,
      ])
      expect(admin.spec).toMatchObject({ clusterIP: 'None', publishNotReadyAddresses: true })
      expect([address, tokens.length]).toEqual(['0.0.0.0:9901', 1])
    })

    test('Prometheus finds the admin port', () => {
      const { annotations } = deployment.spec.template.metadata
      expect(annotations).toEqual({
        'prometheus.io/scrape': 'true',
        'prometheus.io/port': '9901',
        'prometheus.io/path': '/metrics',
      })
    })

    test('probes ask for liveness and readiness, and give a start and a slow moment their time', () => {
      const { startupProbe, livenessProbe, readinessProbe } = turnout
      expect(startupProbe.httpGet).toEqual({ path: '/livez', port: 'admin' })
      expect(livenessProbe.httpGet).toEqual({ path: '/livez', port: 'admin' })
      expect(readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'admin' })
      expect(startupProbe.periodSeconds * startupProbe.failureThreshold).toBeGreaterThanOrEqual(60)
      expect(livenessProbe.periodSeconds * livenessProbe.failureThreshold).toBeGreaterThanOrEqual(30)
    })

    test('there is time to stop: delay, deadline and the farewell to WebSockets, before Kubernetes kills', () => {
      const { delay, deadline } = configOf(text, ENV).shutdown
      const app = containers.find(({ name }) => name === 'shop')
      // The shop ends first, and shares the time.
      const before = app === undefined ? 0 : seconds(app.lifecycle.preStop.sleep.seconds + 15)
      const needed = before + parseDuration(delay) + parseDuration(deadline) + seconds(1)
      expect(seconds(pod.terminationGracePeriodSeconds)).toBeGreaterThanOrEqual(needed + seconds(3))
      expect(seconds(pod.terminationGracePeriodSeconds)).toBeLessThanOrEqual(needed + seconds(10))
      // Load balancers hear of it before accepting stops.
      const { periodSeconds, failureThreshold } = turnout.readinessProbe
      const deaf = app === undefined ? parseDuration(delay) : seconds(app.lifecycle.preStop.sleep.seconds)
      expect(deaf).toBeGreaterThanOrEqual(seconds(periodSeconds * failureThreshold))
    })

    test('a rollout takes no replica away before another is ready, and nodes are drained one replica at a time', () => {
      expect(deployment.spec.replicas).toBeGreaterThanOrEqual(3)
      expect(deployment.spec.strategy.rollingUpdate).toEqual({ maxUnavailable: 0, maxSurge: 1 })
      expect(budget.spec).toMatchObject({ maxUnavailable: 1, unhealthyPodEvictionPolicy: 'AlwaysAllow' })
    })

    test('it asks for as many CPUs as it has workers, and has no CPU limit that would throttle it', () => {
      const { workers } = configOf(text, ENV)
      const { requests, limits } = turnout.resources
      expect(workers).toBeTypeOf('number')
      const cpu = requests.cpu.endsWith('m') ? Number.parseInt(requests.cpu, 10) / 1000 : Number(requests.cpu)
      expect(cpu).toBeLessThanOrEqual(workers as number)
      expect(Object.keys(limits)).not.toContain('cpu')
      expect(limits.memory).toBeTruthy()
    })

    test('it meets the restricted profile, on a read-only root', () => {
      expect(pod).toMatchObject({
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      })
      for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) expect(pod).not.toHaveProperty(field)
      for (const { securityContext } of containers) {
        expect(securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
      }
      const kinds = pod.volumes.flatMap((volume: Container) => Object.keys(volume).filter(key => key !== 'name'))
      expect(kinds.filter((kind: string) => !['configMap', 'emptyDir'].includes(kind))).toEqual([])
    })
  },
)

test('the sidecar is a native one, and passes only its own pod by', () => {
  const [, { turnout, pod, text, containers }] = PODS as [unknown, (typeof PODS)[number]]
  expect(pod.initContainers).toEqual([turnout])
  expect(turnout.restartPolicy).toBe('Always')
  const { services, redis } = configOf(text, ENV)
  const app = containers.find(({ name }) => name === 'shop')!
  expect(services[0]!.versions[0]!.endpoints[0]!.url).toBe(`http://${app.env[0].value}`)
  // 127.0.0.1 is another process in each pod, so each probes its own; and no fleet shares with the edge.
  expect(services[0]!.health).toMatchObject({ shared: false })
  expect(redis!.prefix).not.toBe(configOf(PODS[0]!.text, ENV).redis!.prefix)
})

test('each fleet logs in as the ACL user of its own prefix', () => {
  for (const { text } of PODS) {
    const { redis } = configOf(text, ENV)
    expect(redis!.username).toBe(redis!.prefix)
  }
})

test('Redis may be reached by the replicas, sidecars and itself', () => {
  const { ingress, podSelector } = manifest('NetworkPolicy', 'redis').spec
  const [edge, sidecar] = PODS.map(({ labels }) => labels['app.kubernetes.io/name'])
  const [redis, sentinel] = [6379, 26_379].map(port => ({ port, protocol: 'TCP' }))
  expect(ingress[0].ports).toEqual([redis, sentinel])
  expect(
    ingress[0].from.map(({ podSelector }: Container) => podSelector.matchLabels['app.kubernetes.io/name']),
  ).toEqual([edge, sidecar])
  // Replication, Sentinel and the bus of a Cluster have ports of their own.
  expect(ingress[1]).toEqual({ from: [{ podSelector }] })
})
