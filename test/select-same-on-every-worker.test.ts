import { expect, test } from 'vitest'
import { startUpstream } from './support/raw.ts'
import { type LocalTurnout, shop, startLocal, startProcess, type TurnoutProcess } from './support/turnout.ts'
import { get } from './support/wire.ts'

const WORKERS = 4
const KEYS = Array.from({ length: 2000 }, (_, i) => (i % 4 === 0 ? `größe-${i}-用户` : `user-${i}`))
const WEIGHTS: Record<string, number> = { blue: 70, green: 29.5, canary: 0.5 }

/** MurmurHash3 x86 32-bit, written from its description; nothing of src is used to say what is right. */
function murmur3(bytes: Buffer, seed: number): number {
  const rotate = (x: number, by: number) => (x << by) | (x >>> (32 - by))
  const scramble = (k: number) => Math.imul(rotate(Math.imul(k, 0xcc9e2d51), 15), 0x1b873593)
  let hash = seed
  const tail = bytes.length & ~3
  for (let i = 0; i < tail; i += 4)
    hash = (Math.imul(rotate(hash ^ scramble(bytes.readInt32LE(i)), 13), 5) + 0xe6546b64) | 0
  let rest = 0
  for (let i = bytes.length - 1; i >= tail; i--) rest = (rest << 8) | bytes[i]!
  hash ^= scramble(rest) ^ bytes.length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** The formula of the contract, section 3. */
function versionFor(key: string): string {
  let best = ''
  let highest = -1
  for (const [version, weight] of Object.entries(WEIGHTS)) {
    const seed = murmur3(Buffer.from(`shop:${version}`), 0)
    const u = (murmur3(Buffer.from(key), seed) + 0.5) / 2 ** 32
    const score = weight / -Math.log(u)
    if (score > highest) {
      highest = score
      best = version
    }
  }
  return best
}

/** The version each key got, asked over connections enough to reach every worker. */
async function versionsOf(turnout: LocalTurnout | TurnoutProcess): Promise<string[]> {
  const clients = Array.from({ length: 8 * WORKERS }, () => turnout.connect())
  const versions: string[] = new Array(KEYS.length)
  await Promise.all(
    clients.map(async (client, c) => {
      for (let i = c; i < KEYS.length; i += clients.length) {
        const key = Buffer.from(KEYS[i]!).toString('latin1')
        versions[i] = (await client.ask(get('/', [`x-user-id: ${key}`]))).get('x-served-version')!
      }
    }),
  )
  return versions
}

test('2,000 users get the version of the formula, on every worker, in every process and after a restart', async () => {
  const upstream = await startUpstream()
  const service = {
    traffic: { split: { weights: WEIGHTS, by: [{ header: 'x-user-id' }] }, versionHeader: 'x-served-version' },
  }
  const document = shop({ blue: upstream, green: upstream, canary: upstream }, service, { workers: WORKERS })
  const expected = KEYS.map(versionFor)
  expect(new Set(expected)).toEqual(new Set(['blue', 'green', 'canary']))

  const turnout = await startLocal(document)
  expect(await versionsOf(turnout)).toEqual(expected)
  // Asked once more over other connections: whichever worker answers, it is the same version.
  expect(await versionsOf(turnout)).toEqual(expected)
  await turnout.close()

  const restarted = await startProcess(document)
  expect(await versionsOf(restarted)).toEqual(expected)
}, 60_000)
