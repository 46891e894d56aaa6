// Endpoints killed and revived at random; requests fail only until that is noticed.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { numbers } from '../support/bytes.ts'
import { stopwatch } from '../support/raw.ts'
import { Api, Load, rounds, type ShopVersion, startVersion } from '../support/release.ts'
import { shop, startProcess } from '../support/turnout.ts'

const SECONDS = rounds(60, 15)
/** Failures in a row until ejection, and what was under way on connections that broke. */
const DETECTION_MS = 500

test('requests fail only within the detection time of a kill', async () => {
  const endpoints = await Promise.all(Array.from({ length: 4 }, () => startVersion('blue', 5)))
  const other = await startVersion('green', 5)
  const health = { path: '/healthz', interval: '100ms', timeout: '100ms', rise: 2, fall: 2 }
  const outlier = { consecutiveFailures: 3, eject: '1s', maxEjected: 0.5 }
  const document = shop({ blue: other, green: other }, { health, outlier, slowStart: '500ms' })
  const services = document.services as { versions: { name: string; endpoints: string[] }[] }[]
  services[0]!.versions = [{ name: 'blue', endpoints: endpoints.map(({ url }) => url) }]
  const turnout = await startProcess(document)
  const api = new Api(turnout.adminUrl)
  // By a clock on which a pause of the machine is none.
  const clock = stopwatch()
  const load = new Load(turnout.port(), 32, clock)
  const random = numbers(7)
  const kills: number[] = []
  const end = Date.now() + SECONDS * 1000
  // At most two of four are dead at a time, so that no panic rule applies.
  const dead: ShopVersion[] = []
  while (Date.now() < end) {
    if (dead.length === 2 || (dead.length === 1 && random(2) === 1)) {
      await dead.shift()!.listen()
    } else {
      const alive = endpoints.filter(endpoint => !dead.includes(endpoint))
      const victim = alive[random(alive.length) - 1]!
      dead.push(victim)
      kills.push(clock())
      await victim.kill()
    }
    await sleep(300 + random(700))
  }
  for (const endpoint of dead) await endpoint.listen()
  await load.stop()

  const late = load.failures.filter(({ at }) => !kills.some(kill => at >= kill && at <= kill + DETECTION_MS))
  expect(late).toEqual([])
  const { versions } = await api.must('GET', '/v1/services/shop')
  const served = versions[0].endpoints.map(({ requests }: { requests: number }) => requests)
  expect(Math.min(...served)).toBeGreaterThan(0)
  const after = load.failures.map(({ at }) => at - Math.max(...kills.filter(kill => kill <= at)))
  const kinds = [...new Set(load.failures.map(({ what }) => what))]
  console.log(
    `${SECONDS} s, ${kills.length} kills, ${load.total} answers, ${load.failures.length} failed (${kinds.join('; ')}), ` +
      `the last ${Math.max(0, ...after)} ms after a kill`,
  )
}, 300_000)
