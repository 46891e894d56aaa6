/** What became of the copies that a turnout's mirrors made, from its metrics. */

/** Counts by outcome since the start, such as `answered 120, timeout 3`. */
export async function copiesOf(adminPort: number): Promise<string> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
  const counts = [...text.matchAll(/^turnout_mirror_requests_total\{.*outcome="(\w+)"\} (\d+)$/gm)]
  return counts
    .filter(([, , count]) => count !== '0')
    .map(([, outcome, count]) => `${outcome} ${count}`)
    .join(', ')
}
