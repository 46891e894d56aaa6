// Shadows and twins that are dead, slow, endless or hostile change nothing for users, and every copy is accounted for.
import { expect, test } from 'vitest'
import { rounds } from '../support/release.ts'
import {
  type App,
  type Counted,
  countsIn,
  forgetPeak,
  memory,
  mirrored,
  send,
  services,
  startApp,
  total,
} from '../support/shadow.ts'
import { HARD_DOCUMENTS, startFaults } from '../support/shadow-faults.ts'
import { poll, startProcess } from '../support/turnout.ts'
import { get } from '../support/wire.ts'

/** Requests a fault, for a document that is hard to compare, and to a mirror that works between two groups. */
const REQUESTS = rounds(2000, 10)
const HARD = rounds(200, 4)
const HEALTHY = 50
/** Faults at the same time; one by one, its memory is known of each. */
const AT_ONCE = rounds(1, 8)
/**
 * What the mirrors of all groups may cost turnout above what it needs for those that work, in MiB. Each of them may
 * hold 64 MiB of copies and as much of answers that are on their way, and the system gets little of that back.
 */
const MEMORY_MIB = rounds(1000, 400)
/** How long copies may take to come to an end, in ms. */
const PATIENCE_MS = 60_000

/** Faults that only the time-out ends. */
const SLOW = ['black-hole', 'silent', 'slow-answer', 'slow-body']
/** Faults that break the connection, and answers that are no HTTP. */
const BROKEN = [
  'refuses',
  'resets',
  'resets-in-body',
  'ends-in-body',
  'ends-in-chunk',
  'big-head',
  'endless-head',
  'endless-hints',
  'garbage',
  'switches-protocol',
]
/** What is found of the faults that answer, where it is known exactly. */
const KINDS: Record<string, string[]> = {
  'ten-gigabytes': ['truncated'],
  'endless-chunks': ['truncated'],
  'gzip-bomb': ['truncated'],
  'nested-gzip-bomb': ['truncated'],
  'brotli-bomb': ['truncated'],
  'zstd-bomb': ['truncated'],
  'broken-gzip': ['error'],
  'broken-json': ['type'],
  'deep-json': ['truncated'],
  'deep-set': ['truncated'],
  'deep-objects': ['truncated'],
  numbers: ['value'],
  proto: ['value'],
}

/** What may become of the copies for a fault. */
function outcomesOf(name: string): string[] {
  if (SLOW.includes(name)) return ['timeout', 'shadow_down', 'queue_full']
  return BROKEN.includes(name) ? ['error', 'shadow_down', 'queue_full'] : ['answered', 'queue_full']
}

/** Mirrors with and without comparison, and one with a good shadow whose twin is bad. */
function faultyService(name: string, blue: App, good: App, fault: { url: string }) {
  const compare = { arrays: { 'body.set': 'set' }, ...(name in HARD_DOCUMENTS ? { bodyBytes: '1MiB' } : {}) }
  // Who gets time enough is never cut off because this machine is busy.
  const timeout = SLOW.includes(name) ? '400ms' : '20s'
  return mirrored(
    name,
    { blue, compared: fault, drained: fault, good, twin: fault },
    [
      { to: 'compared', compare, timeout },
      { to: 'drained', timeout },
      { to: 'good', compare: { ...compare, control: 'twin' }, timeout: SLOW.includes(name) ? '3s' : '20s' },
    ],
    name === 'black-hole' ? { timeouts: { connect: '200ms' } } : {},
  )
}

function requestsFor(name: string): number {
  return name in HARD_DOCUMENTS ? HARD : REQUESTS
}

/** `/deep-json/x` → the document that is hard to compare, or a short one. */
function answerOf(path: string): string {
  const hard = HARD_DOCUMENTS[path.split('/')[1]!]
  return hard === undefined ? '{"ok":true}' : hard(1)
}

test('no fault of a shadow or a twin costs a user anything, memory stays bounded, every copy is counted', async () => {
  const faults = await startFaults()
  const documents = new Map<string, string>()
  const answer = (path: string): string => {
    if (!documents.has(path)) documents.set(path, answerOf(path))
    return documents.get(path)!
  }
  const reply = ({ target }: { target: string }) => {
    const [path, n] = target.split('?n=')
    return { headers: { 'x-n': n! }, body: answer(path!) }
  }
  const [blue, good] = [await startApp(reply), await startApp(reply)]
  const names = Object.keys(faults)
  const turnout = await startProcess(
    services([
      mirrored('healthy', { blue, good }, [{ to: 'good', compare: { control: 'blue' }, timeout: '20s' }]),
      ...names.map(name => faultyService(name, blue, good, faults[name]!)),
    ]),
  )
  const ask = (name: string, requests: number) =>
    send(turnout.port(), {
      requests,
      connections: 4,
      depth: 4,
      request: n => get(`/${name}/x?n=${n}`),
      check: (n, message) => {
        const seen = [message.status, message.get('x-n'), message.text === answer(`/${name}/x`)].join()
        if (seen !== `200,${n},true`) throw new Error(`${name} ${n}: ${message.start} ${message.fields.join('; ')}`)
      },
    })
  /** The counts of the mirrors of these services once all of their copies have come to an end. */
  const settled = async (group: string[], versions: string[], requests: (name: string) => number) => {
    let counts: [service: string, version: string, Counted][] = []
    const isOver = ([name, version, { outcomes, comparisons }]: (typeof counts)[number]) =>
      total(outcomes) === requests(name) && (version === 'drained' || total(comparisons) >= (outcomes.answered ?? 0))
    await poll(
      async () => {
        const scrape = await turnout.scrape()
        counts = group.flatMap(name =>
          versions.map(version => [name, version, countsIn(scrape, name, version)] as const),
        )
        return counts.every(isOver)
      },
      'the end of all copies',
      PATIENCE_MS,
    ).catch(error => {
      throw new Error(`${error.message}; left: ${JSON.stringify(counts.filter(count => !isOver(count)))}`)
    })
    return counts
  }
  /** A mirror that works gets all its copies, and they are compared. */
  let healthy = 0
  let sent = 0
  const checkHealthy = async () => {
    healthy += HEALTHY
    expect(await ask('healthy', HEALTHY)).toEqual([])
    const [counts] = await settled(['healthy'], ['good'], () => healthy)
    expect(counts![2]).toEqual({ outcomes: { answered: healthy }, comparisons: { equal: healthy }, kinds: {} })
  }

  await checkHealthy()
  const before = memory(turnout).now
  for (let first = 0; first < names.length; first += AT_ONCE) {
    const group = names.slice(first, first + AT_ONCE)
    const started = performance.now()
    forgetPeak(turnout)
    expect((await Promise.all(group.map(name => ask(name, requestsFor(name))))).flat()).toEqual([])
    for (const [name, version, { outcomes, comparisons, kinds }] of await settled(
      group,
      ['compared', 'drained', 'good'],
      requestsFor,
    )) {
      const where = `${name} to ${version}`
      // A bad twin is no fault of the shadow.
      const possible = version === 'good' ? ['answered', 'queue_full'] : outcomesOf(name)
      expect([where, Object.keys(outcomes).filter(outcome => !possible.includes(outcome))]).toEqual([where, []])
      expect([where, outcomes[possible[0]!] ?? 0]).not.toEqual([where, 0])
      if (version === 'compared' && name in KINDS) expect([where, Object.keys(kinds)]).toEqual([where, KINDS[name]])
      if (version === 'drained') expect([where, comparisons]).toEqual([where, {}])
      if (version === 'good') expect([where, kinds, comparisons.different]).toEqual([where, {}, undefined])
    }
    const { now, peak } = memory(turnout)
    const requests = group.reduce((sum, name) => sum + requestsFor(name), 0)
    sent += requests
    console.log(
      `${group.join(', ')}: ${requests} requests in ${Math.round(performance.now() - started)} ms, ` +
        `memory at most ${peak} MiB, ${now} afterwards, ${before} before`,
    )
    expect(peak).toBeLessThan(before + MEMORY_MIB)
    await checkHealthy()
  }
  const scrape = await turnout.scrape()
  expect(scrape.sum('turnout_requests_total')).toBe(sent + healthy)
  expect(scrape.sum('turnout_requests_total', 'code="200"')).toBe(sent + healthy)
  expect(turnout.log.filter(({ level }) => level === 'error')).toEqual([])
  expect(turnout.output).toBe('')
  expect(blue.mixed + good.mixed).toBe(0)
}, 1_200_000)
