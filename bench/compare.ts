/**
 * Comparing two JSON bodies: turnout against packages that do, on the same pairs of texts, in one thread. What is
 * timed is what a shadow needs of each: two texts in, a list or a tree of differences out.
 */

import deepDiff from 'deep-diff'
import * as jsondiffpatch from 'jsondiffpatch'
import microdiff from 'microdiff'
import { JsonComparer } from '../src/compare/json-compare.ts'
import { documentPairs, type Pair } from './compare-documents.ts'
import { describeMachine, machineLine } from './machine.ts'

const ROUNDS = 15
/** Long enough for a clock, short enough to take turns often. */
const ROUND_MS = 40
const WARMUP_MS = 300
const BATCH_BYTES = 50_000

interface Peer {
  name: string
  /** Differences found, or null where the package gives no list; read so that nothing can be left out. */
  compare(pair: Pair): number | null
}

const plain = new JsonComparer({ ignore: [], arrays: {}, normalize: {} })
const ruled = new JsonComparer({
  ignore: ['header.date', 'body.**.updatedAt', 'body.meta.requestId'],
  arrays: { 'body.items': 'key:id', 'body.items[*].tags': 'set' },
  normalize: { 'body.**.createdAt': 'isoTime', 'body.**.score': 'number(0.001)' },
})
const delta = jsondiffpatch.create()

const PEERS: Peer[] = [
  { name: 'turnout', compare: ({ primary, shadow }) => plain.compare(primary, shadow).differences.length },
  { name: 'turnout, 7 rules', compare: ({ primary, shadow }) => ruled.compare(primary, shadow).differences.length },
  {
    name: 'microdiff',
    compare: ({ primary, shadow }) => microdiff(JSON.parse(primary), JSON.parse(shadow)).length,
  },
  {
    name: 'deep-diff',
    compare: ({ primary, shadow }) => deepDiff.diff(JSON.parse(primary), JSON.parse(shadow))?.length ?? 0,
  },
  {
    name: 'jsondiffpatch',
    compare: ({ primary, shadow }) => (delta.diff(JSON.parse(primary), JSON.parse(shadow)) === undefined ? 0 : null),
  },
  {
    name: 'JSON.parse alone',
    compare: ({ primary, shadow }) => (JSON.parse(primary) === JSON.parse(shadow) ? 0 : null),
  },
]

/** Pairs compared in a second of CPU time of the process, so that what else runs on the machine counts little. */
function measure(peer: Peer, pair: Pair, batch: number, cpuMs: number): number {
  const begun = process.cpuUsage()
  let count = 0
  let micros = 0
  do {
    for (let i = 0; i < batch; i++) peer.compare(pair)
    count += batch
    const { user, system } = process.cpuUsage(begun)
    micros = user + system
  } while (micros < cpuMs * 1000)
  return (count / micros) * 1e6
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!
}

function table(title: string, lines: string[][]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map(line => line[column]!.length)))
  const text = lines.map(line => line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))))
  return `${title}\n${text.map(line => `  ${line.join('  ')}`).join('\n')}\n`
}

function run(): void {
  const machine = describeMachine()
  console.log(`${machineLine(machine)}, Node ${machine.node}`)
  console.log(`median of ${ROUNDS} rounds; CPU time of the process, parsing and garbage collection included`)
  console.log('MB/s counts the bytes of both bodies, "once" those of one\n')
  for (const pair of documentPairs()) {
    const bytes = Buffer.byteLength(pair.primary) + Buffer.byteLength(pair.shadow)
    const rates = new Map(PEERS.map(peer => [peer, [] as number[]]))
    // Asking for the time costs as much as a small pair.
    const batch = Math.ceil(BATCH_BYTES / bytes)
    for (const peer of PEERS) measure(peer, pair, batch, WARMUP_MS)
    // They take turns, so that a machine that slows down does so for all.
    for (let round = 0; round < ROUNDS; round++) {
      for (const peer of PEERS) rates.get(peer)!.push(measure(peer, pair, batch, ROUND_MS))
    }
    const own = median(rates.get(PEERS[0]!)!)
    const lines = PEERS.map(peer => {
      const rate = median(rates.get(peer)!)
      const megabytes = (rate * bytes) / 1e6
      return [
        peer.name,
        (1e6 / rate).toFixed(1),
        megabytes.toFixed(1),
        (megabytes / 2).toFixed(1),
        (own / rate).toFixed(2),
        String(peer.compare(pair) ?? '-'),
      ]
    })
    const headings = ['', 'µs/pair', 'MB/s', 'once', 'time × turnout', 'differences']
    // The time of each as a multiple of ours: what is above 1 is slower.
    console.log(table(`${pair.name}, 2 × ${(bytes / 2048).toFixed(1)} KiB`, [headings, ...lines]))
  }
}

run()
