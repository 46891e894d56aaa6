// `turnout demo --shadow`: a version with three bugs gets copies of all requests while another one answers them.
// The demo sends the requests itself, prints the report that names the bugs, and goes on serving.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'
import type { ControlPlane } from '../control/control-plane.ts'
import type { DifferencesView } from '../control/differences-view.ts'
import { AdminClient } from './admin-client.ts'
import { adminFlag, type DemoOptions, runDemo } from './demo.ts'
import { answerShop } from './demo-shop.ts'
import { diffs } from './diffs.ts'
import { Screen } from './screen.ts'
import { figure } from './words.ts'

/** Requests that are sent: so many at a time, a moment between them. */
const ROUNDS = 100
const AT_A_TIME = 10
const PAUSE = 20
/** How long, in ms, the last comparisons may take. */
const PATIENCE = 10_000

/** Runs the demo until it is interrupted; answers the exit code. */
export function shadowDemo(options: DemoOptions): Promise<number> {
  const { out } = options
  return runDemo(options, {
    config: 'demo-shadow.yaml',
    command: 'npx turnout demo --shadow',
    answer: answerShop,
    show: (plane, file, interrupted) => {
      // The demo has no tokens, so none of the environment's is sent to it.
      const client = new AdminClient({ url: plane.adminUrl, env: {} })
      show(plane, file, { out, interrupted, client }).catch(error => {
        if (!interrupted.aborted) out(`The demo broke off: ${error.message}`)
      })
    },
  })
}

type Show = { out: (line: string) => void; interrupted: AbortSignal; client: AdminClient }

async function show(plane: ControlPlane, file: string, { out, interrupted, client }: Show): Promise<void> {
  const { url } = plane.listeners[0]!
  const service = plane.config.services[0]!.name
  out(`turnout is running, Ctrl-C ends it.

  ${service}: ${url} (blue answers; green is its shadow, and has three bugs; twin is a second blue)
  admin: ${plane.adminUrl}/docs (metrics: ${plane.adminUrl}/metrics)

Sending ${figure(ROUNDS * AT_A_TIME)} requests: items, orders, carts. Each answer has an id and a time of its own,
and lists in random order: noise, which differs between two answers of blue as well.
`)
  const readable = await sendTraffic(url, interrupted)
  await untilCompared(client, service, readable, interrupted)
  await diffs({ client, screen: new Screen(process.stdout), format: null }, service, { raw: false })
  out(`
The bugs of green: items have no stock, some prices are text, and an item that does not exist is answered with 500.
Look further, in another terminal:

  npx turnout diffs ${service} --raw${adminFlag(plane)}
  curl -s ${plane.adminUrl}/v1/services/${service}/differences
  curl -s ${plane.adminUrl}/metrics | grep ^turnout_mirror
  curl -s ${url}/items/10; curl -s ${plane.adminUrl}/preview/${service}/green/items/10

The config is ${file}.`)
}

/** Sends what clients of a shop send; answers how many requests read something. */
async function sendTraffic(url: string, signal: AbortSignal): Promise<number> {
  const pool = new Pool(url, { connections: AT_A_TIME })
  let readable = 0
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const requests = Array.from({ length: AT_A_TIME }, (_, i) => requestOf(round * AT_A_TIME + i))
      readable += requests.filter(({ method }) => method === 'GET').length
      await Promise.all(
        requests.map(async request => {
          const { body } = await pool.request({ ...request, signal })
          await body.dump()
        }),
      )
      await sleep(PAUSE, undefined, { signal })
    }
  } finally {
    await pool.destroy()
  }
  return readable
}

/** The n-th request: of twenty one orders, three look at the cart, four at an order and twelve at an item. */
function requestOf(n: number): { method: 'GET' | 'POST'; path: string } {
  const kind = n % 20
  if (kind === 0) return { method: 'POST', path: '/orders' }
  if (kind <= 3) return { method: 'GET', path: '/cart' }
  if (kind <= 7) return { method: 'GET', path: `/orders/${randomUUID()}` }
  return { method: 'GET', path: `/items/${1 + ((n * 7) % 200)}` }
}

/** Waits until that many answers are compared, or no more seem to come. */
async function untilCompared(client: AdminClient, service: string, count: number, signal: AbortSignal): Promise<void> {
  const path = ['services', service, 'differences']
  const end = performance.now() + PATIENCE
  while (performance.now() < end) {
    const { value } = await client.call<DifferencesView>({ method: 'GET', path }, 'mirrors', signal)
    if (value.mirrors.every(({ compared }) => compared >= count)) return
    await sleep(100, undefined, { signal })
  }
}
