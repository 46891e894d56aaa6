// The word an operator most likely meant: the nearest of the words that would have been right.

/** The candidate nearest to a misspelt word, null when none is near enough to be meant. */
export function suggest(word: string, candidates: Iterable<string>): string | null {
  const bare = simplified(word)
  const limit = Math.max(1, Math.floor(bare.length / 3))
  let best: string | null = null
  let least = limit + 1
  for (const candidate of candidates) {
    const other = simplified(candidate)
    // Lengths alone tell that most candidates are too far away.
    if (Math.abs(other.length - bare.length) >= least) continue
    const distance = editDistance(bare, other)
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

/** `Did you mean "x"?`, or the sentence given where nothing is near. */
export function didYouMean(word: string, candidates: Iterable<string>, otherwise: string): string {
  const near = suggest(word, candidates)
  return near === null ? otherwise : `Did you mean ${JSON.stringify(near)}?`
}

/** `trusted_proxies`, `trusted-proxies` and `TrustedProxies` are the same word to who mistypes it. */
function simplified(word: string): string {
  return word.slice(0, 100).toLowerCase().replace(/[-_ ]/g, '')
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one word into the other. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      let cost = Math.min(replaced, last[j]! + 1, row[j - 1]! + 1)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, beforeLast[j - 2]! + 1)
      row.push(cost)
    }
    beforeLast = last
    last = row
  }
  return last[b.length]!
}
