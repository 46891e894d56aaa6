// What replicas promise of pins over one Redis, whatever kind of Redis it is: the same tests for each kind.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { PinAnswer } from '../../src/pins/protocol.ts'
import { startKeeper, type TestKeeper, users } from './pins.ts'
import type { RedisServer } from './redis.ts'

type AtEnd = (end: () => Promise<void>) => void

export type PinRedis = {
  url: string
  /** Those that hold keys. */
  servers: RedisServer[]
}

/** Users of one race; more of them make it longer but no other one. */
const RACERS = 1000
/** Of those who must keep their version: all replicas know them, and weights go up and down. */
const PINNED = process.env.TURNOUT_SOAK === '1' ? 100_000 : 3000

/** How often a test is tried where the machine takes Redis away. */
const ATTEMPTS = 4

/** `start` is called once. */
export function pinSuite(start: (atEnd: AtEnd) => Promise<PinRedis>): void {
  let redis: PinRedis
  const ends: (() => Promise<void>)[] = []
  beforeAll(async () => {
    redis = await start(end => ends.push(end))
  }, 60_000)
  afterAll(async () => {
    for (const end of ends) await end()
  })
  /**
   * A test that begins anew, with a Redis without pins, where a machine that starved Redis for half a second has taken
   * it away: that is another test.
   */
  const steady = (name: string, body: (start: () => Promise<TestKeeper>) => Promise<void>, timeout?: number) =>
    test(
      name,
      async () => {
        for (let attempt = 1; ; attempt++) {
          const keepers: TestKeeper[] = []
          try {
            await body(async () => {
              const keeper = await startKeeper(redis.url)
              keepers.push(keeper)
              return keeper
            })
            return
          } catch (error) {
            if (attempt === ATTEMPTS || !keepers.some(wasAway)) throw error
          }
          for (const { stop } of keepers) await stop()
          // A replica takes no writes, and follows.
          for (const server of redis.servers) await server.cli('flushall').catch(() => '')
        }
      },
      timeout,
    )
  const two = (start: () => Promise<TestKeeper>) => Promise.all([start(), start()])

  steady('who chooses first, chooses for all replicas, however many choose at once', async start => {
    const [one, other] = await two(start)
    const keys = users('racer', RACERS)
    // Pieces, so that both are first for some.
    const [answers, others] = await Promise.all([inPieces(one, keys, 'blue', 50), inPieces(other, keys, 'green', 50)])
    for (const [i, { version, outcome }] of answers.entries()) {
      const { version: otherVersion, outcome: otherOutcome } = others[i]!
      expect(otherVersion).toBe(version)
      // Exactly one of them was first, and its wish was granted.
      expect([outcome, otherOutcome].sort()).toEqual(['found', 'new'])
      expect(version).toBe(outcome === 'new' ? 'blue' : 'green')
    }
    // A third one finds what they made.
    const third = await start()
    const found = await third.worker.ask(keys, 'blue')
    expect(found.map(({ version }) => version)).toEqual(answers.map(({ version }) => version))
    expect(new Set(found.map(({ outcome }) => outcome))).toEqual(new Set(['found']))
  })

  steady('a pin lives as long as it was told at the first choice, and no replica prolongs it', async start => {
    const [one, other] = await two(start)
    const begun = Date.now()
    const [first] = await one.worker.ask(['ttl'], 'blue', { ttlMs: 30_000 })
    const made = Date.now()
    expect(first!.expiresAt).toBeGreaterThanOrEqual(begun + 30_000)
    expect(first!.expiresAt).toBeLessThanOrEqual(made + 30_000)
    const asked = Date.now()
    const [found] = await other.worker.ask(['ttl'], 'green', { ttlMs: 3_600_000 })
    const told = Date.now()
    expect(found).toMatchObject({ version: 'blue', outcome: 'found' })
    // What an answer takes on its way is added to what was left; two clocks, and whole ms.
    expect(Math.abs(found!.expiresAt - first!.expiresAt)).toBeLessThan(made - begun + told - asked + 20)
  })

  steady('a pin that is over is made anew', async start => {
    const [one, other] = await two(start)
    const [first] = await one.worker.ask(['brief'], 'blue', { ttlMs: 1000 })
    expect(await one.worker.one('brief', 'green')).toBe('blue memory')
    while (Date.now() <= first!.expiresAt) await other.worker.ask(['passing-time'], 'blue')
    // Redis counts on its own clock, so one of them may be a ms early; then it finds the old one, and not for long.
    let answer = 'blue found'
    while (answer === 'blue found' || answer === 'blue memory') answer = await other.worker.one('brief', 'green')
    expect(answer).toBe('green new')
    expect(await one.worker.one('brief', 'blue')).toBe('green found')
  })

  steady('a cutover moves the pins of who comes, a rollback moves nobody back and nobody else', async start => {
    const [one, other] = await two(start)
    const keys = users('released', 100)
    const onlyGreen = { accepts: ['green'] }
    await one.worker.ask(keys, 'blue')
    await other.worker.ask(keys, 'blue')
    // Cutover to green: half of the users come, at either replica.
    for (const { worker } of [one, other]) worker.drop('blue')
    expect(new Set((await one.worker.ask(keys.slice(0, 30), 'green', onlyGreen)).map(outcome))).toEqual(
      new Set(['green moved']),
    )
    expect(new Set((await other.worker.ask(keys.slice(20, 50), 'green', onlyGreen)).map(outcome))).toEqual(
      new Set(['green found', 'green moved']),
    )
    // Rollback: both take pinned users again.
    const versions = async ({ worker }: TestKeeper) => (await worker.ask(keys, 'blue')).map(({ version }) => version)
    const expected = keys.map((_, i) => (i < 50 ? 'green' : 'blue'))
    expect(await versions(one)).toEqual(expected)
    expect(await versions(other)).toEqual(expected)
    // And the other way round, where both moved what the other one still remembers.
    for (const { worker } of [one, other]) worker.drop('green')
    await other.worker.ask(keys.slice(0, 10), 'blue', { accepts: ['blue'] })
    expect(await versions(one)).toEqual(keys.map((_, i) => (i >= 10 && i < 50 ? 'green' : 'blue')))
    expect(await versions(other)).toEqual(await versions(one))
  })

  steady('lookups of several services and of the same user travel together and do not meet', async start => {
    const [one, other] = await two(start)
    const group = { ttlMs: 60_000, accepts: ['blue', 'green'] }
    const answers = await one.worker.askAll([
      { ...group, service: 'cart', keys: ['same', 'same', 'else'], wanted: ['blue', 'green', 'green'] },
      { ...group, service: 'pay', keys: ['same'], wanted: ['green'] },
    ])
    expect(answers.map(list => list.map(outcome))).toEqual([['blue new', 'blue found', 'green new'], ['green new']])
    expect(await other.worker.one('same', 'green', { service: 'cart' })).toBe('blue found')
    expect(await other.worker.one('same', 'blue', { service: 'pay' })).toBe('green found')
  })

  steady(
    `none of ${PINNED} pinned users changes, whichever replica he comes to and whatever is wanted then`,
    async start => {
      const [one, other] = await two(start)
      const keys = users('pinned', PINNED)
      const half = PINNED / 2
      const answers = await Promise.all([
        inPieces(one, keys.slice(0, half), 'blue'),
        inPieces(other, keys.slice(half), 'green'),
      ])
      expect(new Set(answers.flat().map(outcome))).toEqual(new Set(['blue new', 'green new']))
      // Each comes to the other replica, which wants the other version; and a new replica knows nobody.
      const third = await start()
      const later = await Promise.all([
        inPieces(one, keys, 'green'),
        inPieces(other, keys, 'blue'),
        inPieces(third, keys, 'green'),
      ])
      expect([one, other, third].map(wasAway)).toEqual([false, false, false])
      for (const [i, list] of later.entries()) {
        const changed = list.filter(({ version }, k) => version !== (k < half ? 'blue' : 'green'))
        expect([i, changed.length]).toEqual([i, 0])
      }
    },
    60_000,
  )

  steady('what is looked at for an explanation pins nobody', async start => {
    const [one, other] = await two(start)
    expect(await one.keeper.peek('shop', 'looked-at')).toBe(null)
    expect(await one.worker.one('looked-at', 'green')).toBe('green new')
    expect(await one.keeper.peek('shop', 'looked-at')).toBe('green')
    expect(await other.keeper.peek('shop', 'looked-at')).toBe('green')
    expect(await other.keeper.peek('cart', 'looked-at')).toBe(null)
  })

  steady('Redis never learns what users are known by', async start => {
    const { worker } = await start()
    const secret = 'alice@example.com'
    expect(await worker.one(secret, 'blue', { service: 'mail' })).toBe('blue new')
    const keysLike = async (pattern: string) => {
      const found = await Promise.all(redis.servers.map(server => server.cli('keys', pattern)))
      return found.join('\n').trim()
    }
    // A Sentinel pair has it twice, sooner or later.
    const [pin] = (await keysLike('turnout:pin:mail:*')).split('\n')
    expect(pin).toMatch(/^turnout:pin:mail:[A-Za-z0-9_-]{22}$/)
    expect(await keysLike('*alice*')).toBe('')
    expect(await keysLike('*example*')).toBe('')
  })
}

/** Asks for many users in several messages, some of which are under way together. */
async function inPieces({ worker }: TestKeeper, keys: string[], wanted: string, size = 500): Promise<PinAnswer[]> {
  const answers: PinAnswer[] = []
  for (let at = 0; at < keys.length; at += 4 * size) {
    const pieces = [0, 1, 2, 3].map(i => keys.slice(at + i * size, at + (i + 1) * size))
    answers.push(...(await Promise.all(pieces.map(piece => worker.ask(piece, wanted)))).flat())
  }
  return answers
}

function wasAway({ logged }: TestKeeper): boolean {
  return logged.some(text => text.startsWith('Redis is away'))
}

function outcome({ version, outcome }: { version: string; outcome: string }): string {
  return `${version} ${outcome}`
}
