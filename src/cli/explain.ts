// `turnout explain`: which version a request would get, and why, without sending it.
import type { Explanation, RequestTraits } from '../control/services.ts'
import type { AdminClient } from './admin-client.ts'
import type { Cell, Column, Screen } from './screen.ts'

const SCORE_COLUMNS: Column[] = [{ title: 'VERSION' }, { title: 'SCORE', align: 'right' }, { title: '' }]

/** What a reason means. */
const BECAUSE: Record<Explanation['reason'], string> = {
  override: 'the request names the version, and its client may',
  rule: 'a rule matches',
  sticky: 'the user was assigned to it before',
  hash: 'its score for the user key is the highest',
  weight: 'the weights decide, by turns',
  failover: 'the version it would get has no usable endpoint',
}

export type ExplainOptions = { client: AdminClient; screen: Screen; json: boolean }

/** Prints the choice for a request; answers the exit code. */
export async function explain(
  { client, screen, json }: ExplainOptions,
  service: string,
  request: RequestTraits,
): Promise<number> {
  const { text, value } = await client.call<Explanation>(
    { method: 'POST', path: ['services', service, 'explain'], body: request },
    'reason',
  )
  if (json) {
    screen.line(text)
    return 0
  }
  const { version, reason, key, scores, rule, note } = value
  screen.line(`${service}: ${screen.paint(version, 'bold')}`)
  screen.line(`  reason  ${reason}: ${BECAUSE[reason]}`)
  if (rule !== null) screen.line(`  rule    ${rule}`)
  if (key !== null) screen.line(`  key     ${key}`)
  if (note) screen.line(`  note    ${note}`)
  if (scores !== null) {
    screen.line()
    const best = Math.max(...Object.values(scores))
    const rows = Object.entries(scores).map(([name, score]): Cell[] => [
      name,
      String(Number(score.toPrecision(6))),
      score === best ? 'highest' : '',
    ])
    screen.table(SCORE_COLUMNS, rows)
  }
  return 0
}
