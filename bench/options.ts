/**
 * The bench's command line. A name it does not know is an error that lists the names it does.
 */

import { parseArgs } from 'node:util'
import { PEERS, type Peer } from './peers.ts'
import { SCENARIOS, type Scenario } from './scenarios.ts'
import { UsageError } from './session.ts'

export interface Options {
  rounds: number
  /** Length of one measurement, and of the warm-up before the first: V8 needs some 100,000 requests to settle. */
  seconds: number
  warmup: number
  peers: Peer[]
  scenarios: Scenario[]
  /** File the results go to as JSON, or null. */
  json: string | null
  markdown: boolean
}

const USAGE = `npm run bench -- [--rounds 5] [--seconds 2] [--warmup 6] [--only ${PEERS[0].name},nginx]
                 [--scenario ${SCENARIOS.map(scenario => scenario.name).join(',')}] [--json FILE] [--markdown]`

export function parseOptions(argv: string[]): Options {
  try {
    const { values } = parseArgs({
      args: argv,
      options: {
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '2' },
        warmup: { type: 'string', default: '6' },
        only: { type: 'string' },
        scenario: { type: 'string' },
        json: { type: 'string' },
        markdown: { type: 'boolean', default: false },
      },
    })
    return {
      rounds: wholeNumber('--rounds', values.rounds),
      seconds: wholeNumber('--seconds', values.seconds),
      warmup: wholeNumber('--warmup', values.warmup),
      peers: pick('--only', PEERS, values.only),
      scenarios: pick('--scenario', SCENARIOS, values.scenario),
      json: values.json ?? null,
      markdown: values.markdown,
    }
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n${USAGE}`)
  }
}

/** A whole number of at least 1 (wrk counts in whole seconds). */
export function wholeNumber(flag: string, text: string): number {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 1)
    throw new UsageError(`${flag} ${text}: a whole number from 1 is needed`)
  return number
}

/** The named ones of `all` in the order of `all`, or all of them. */
export function pick<T extends { name: string }>(flag: string, all: readonly T[], names: string | undefined): T[] {
  if (names === undefined) return [...all]
  const wanted = names.split(',')
  for (const name of wanted) {
    if (all.some(one => one.name === name)) continue
    throw new UsageError(`${flag} ${name}: not one of ${all.map(one => one.name).join(', ')}`)
  }
  return all.filter(one => wanted.includes(one.name))
}
