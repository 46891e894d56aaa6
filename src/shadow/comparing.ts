// Compares what the shadow, and the twin, answered with what the primary did, for one mirror: counts what
// differs and adds it to the report. Values leave this place only in the form that the redactor gives them.

import type { Answer } from '../compare/answer.ts'
import { AnswerComparer } from '../compare/compare-answers.ts'
import type { Comparison } from '../compare/difference.ts'
import type { CompareConfig } from '../config/schema-mirror.ts'
import { parseSize } from '../config/units.ts'
import { endpointName } from '../report/endpoint-name.ts'
import { Redactor } from '../report/redact.ts'
import type { Pair, Report } from '../report/report.ts'
import type { CopyHead } from './copy-head.ts'
import type { Sent } from './sender.ts'
import type { Tally } from './tally.ts'

export class Comparing {
  /** Of a body, at most. */
  readonly bodyBytes: number
  readonly #comparer: AnswerComparer
  readonly #redactor: Redactor
  readonly #report: Report
  readonly #tally: Tally
  readonly #service: string
  readonly #version: string

  /** `version`: the shadow. */
  constructor(settings: CompareConfig, service: string, version: string, report: Report, tally: Tally) {
    this.bodyBytes = parseSize(settings.bodyBytes)
    this.#comparer = new AnswerComparer(settings)
    this.#redactor = new Redactor(settings.reveal)
    this.#report = report
    this.#tally = tally
    this.#service = service
    this.#version = version
  }

  /** Finds out what differs. `twin` is null where there is none; one that was never asked is none either. */
  async compare(request: CopyHead, primary: Answer, shadow: Sent, twin: Sent | null): Promise<Pair> {
    const { method, target, requestId } = request
    // Another mirror of the service may compare more of it.
    const answer = this.#cut(primary)
    return {
      service: this.#service,
      version: this.#version,
      endpoint: endpointName(method, target),
      time: Date.now(),
      requestId,
      shadow: await this.#compareWith(method, answer, shadow),
      twin: twin !== null && wasAsked(twin) ? await this.#compareWith(method, answer, twin) : null,
      show: difference => this.#redactor.show(difference),
      fingerprint: value => this.#redactor.fingerprint(value),
    }
  }

  /** Counts what was found and adds it to the report. */
  add(pair: Pair): void {
    const { differences } = pair.shadow
    this.#report.add(pair)
    for (const { kind } of differences) this.#tally.difference(kind)
    if (differences.length === 0) this.#tally.comparison('equal')
    else this.#tally.comparison(differences.every(({ kind }) => kind === 'truncated') ? 'uncompared' : 'different')
  }

  async #compareWith(method: string, primary: Answer, { outcome, answer }: Sent): Promise<Comparison> {
    if (answer !== null) return this.#comparer.compare(method, primary, answer)
    const kind = outcome === 'timeout' ? 'timeout' : 'error'
    const none = { path: 'answer', keys: ['answer'], kind, primary: primary.status, shadow: undefined } as const
    return { differences: [none], isWhole: false }
  }

  #cut(answer: Answer): Answer {
    if (answer.body.length <= this.bodyBytes) return answer
    return { ...answer, body: answer.body.subarray(0, 0), isCut: true }
  }
}

/** One that is always late, or fails now and then, is as telling as any other twin. */
function wasAsked({ outcome, answer, isUnsent }: Sent): boolean {
  return answer !== null || ((outcome === 'timeout' || outcome === 'error') && !isUnsent)
}
