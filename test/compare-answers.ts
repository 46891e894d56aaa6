// Answers and comparers for the tests of comparing, written as shortly as they are thought of.
import type { Answer } from '../src/compare/answer.ts'
import { AnswerComparer } from '../src/compare/compare-answers.ts'
import type { Comparison } from '../src/compare/difference.ts'

type Settings = ConstructorParameters<typeof AnswerComparer>[0]

export function comparer(settings: Partial<Settings> = {}): AnswerComparer {
  const defaults = { ignore: [], arrays: {}, normalize: {}, headers: [], bodyBytes: '256KiB', reveal: [] }
  return new AnswerComparer({ ...defaults, ...settings })
}

export function answer(
  body: string | Buffer,
  headers: Record<string, string> = {},
  more: Partial<Answer> = {},
): Answer {
  return { status: 200, headers, body: Buffer.from(body as string), isCut: false, ...more }
}

/** An answer of JSON; a text is sent as it is. */
export function json(body: unknown, headers: Record<string, string> = {}, more: Partial<Answer> = {}): Answer {
  const text = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  return answer(text, { 'content-type': 'application/json', ...headers }, more)
}

/** `kind path` of each difference. */
export function found(comparison: Comparison): string[] {
  return comparison.differences.map(({ kind, path }) => `${kind} ${path}`)
}
