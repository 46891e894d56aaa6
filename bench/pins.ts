/**
 * What do users pinned in Redis cost, and does a Redis that does not answer hurt? One turnout under a paced load, half
 * of it users who are known and half users who never came before: with Redis, with one that takes what is sent to it and
 * never answers, with it again, and with none. Each part is held against the same turnout without pins.
 */

import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { wholeNumber } from './options.ts'
import { CONNECTIONS, describe, type Part, quantile, startLoad } from './paced-load.ts'
import { pinningTurnout, turnout } from './peers/turnout.ts'
import { startPeer } from './peers.ts'
import { Program } from './process.ts'
import { freePorts, runSession } from './session.ts'
import { startUpstream } from './upstream.ts'

const PROXY_CPU = 0
const LOAD_CPU = 1
const USERS = 2000
const SETTLE_MS = 1000
/** Until what runs is compiled. */
const WARM_UP_MS = 8000
const OUTCOMES = ['memory', 'found', 'new', 'moved', 'late', 'down']

async function main(dir: string): Promise<number> {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '20' } } })
  const seconds = wholeNumber('--seconds', values.seconds)
  const [blue, green, redisPort] = await freePorts(3)
  const upstream = { blue, green }
  await startUpstream(dir, LOAD_CPU, upstream)
  const options = { cpu: PROXY_CPU, connections: CONNECTIONS }

  const plain = await startPeer(turnout, `${dir}`, upstream, options)
  const withoutPins = await measureOne(plain.port, seconds)
  console.log(describe('hash only', withoutPins))
  await plain.program.stop()

  const redis = startRedis(redisPort, dir)
  const { port, adminPort } = await startPeer(pinningTurnout('turnout', redisPort), dir, upstream, options)
  const load = startLoad(port, '/small', USERS)
  let failures = withoutPins.failures.length
  let counted = await lookups(adminPort)
  const measure = async (title: string): Promise<Part> => {
    await load.next()
    await pause(seconds * 1000)
    const part = await load.next()
    failures += part.failures.length
    console.log(describe(title, part))
    const now = await lookups(adminPort)
    console.log(`  lookups: ${OUTCOMES.map((outcome, i) => `${outcome} ${now[i] - counted[i]}`).join(', ')}`)
    counted = now
    return part
  }
  await pause(WARM_UP_MS)
  const before = await measure('pins in Redis')
  process.kill(redis.pid, 'SIGSTOP')
  const hole = await measure('Redis swallows')
  process.kill(redis.pid, 'SIGCONT')
  await pause(3 * SETTLE_MS)
  const after = await measure('Redis is back')
  process.kill(redis.pid, 'SIGKILL')
  const killed = await measure('no Redis')
  await load.end()

  const p99 = (part: Part) => quantile(part.times, 0.99)
  const usual = (p99(before) + p99(after)) / 2
  for (const [title, part] of [
    ['Redis swallows', hole],
    ['no Redis', killed],
  ] as const) {
    const above = [usual, p99(withoutPins)].map(other => (p99(part) - other).toFixed(2))
    console.log(`${title}: p99 ${above[0]} ms above that with Redis, ${above[1]} ms above that of the hash only`)
  }
  console.log(`failed requests: ${failures}`)
  return failures === 0 ? 0 : 1
}

async function measureOne(port: number, seconds: number): Promise<Part> {
  const load = startLoad(port, '/small', USERS)
  await pause(WARM_UP_MS)
  await load.next()
  await pause(seconds * 1000)
  const part = await load.next()
  await load.end()
  return part
}

function startRedis(port: number, dir: string): Program {
  const argv = ['redis-server', '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', dir]
  return new Program('redis', argv, { cpu: LOAD_CPU })
}

/** Lookups so far by outcome, in the order of OUTCOMES. */
async function lookups(adminPort: number): Promise<number[]> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
  return OUTCOMES.map(outcome =>
    [...text.matchAll(new RegExp(`^turnout_pin_lookups_total\\{.*outcome="${outcome}"\\} (\\d+)`, 'gm'))].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    ),
  )
}

await runSession(main)
