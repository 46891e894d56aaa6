// Tells whether the values of a field are ever new, as ids and times are, or come again. It tries a few values of each
// field and forgets them, so that it takes little time and memory however long it runs.

/** Values of a field that are tried in a period. */
const VALUES = 128

/** Fields that are tried in a period. */
const FIELDS = 1000

/**
 * Then it begins anew, in ms: a field that was not among the first gets its turn, and one whose report was cleared in
 * the meantime is judged again.
 */
const PERIOD = 10 * 60_000

export class FreshValues {
  readonly #fields = new Map<string, { tried: number; values: Set<string> }>()
  #since = -Infinity

  /**
   * True for a value that its field did not have before in this period, false for one that comes again, null where it
   * was not tried; only then nobody asks for its fingerprint. `time` is in ms since 1970.
   */
  isNew(field: string, time: number, fingerprint: () => string): boolean | null {
    if (Math.abs(time - this.#since) > PERIOD) {
      this.#fields.clear()
      this.#since = time
    }
    let known = this.#fields.get(field)
    if (known === undefined) {
      if (this.#fields.size === FIELDS) return null
      this.#fields.set(field, (known = { tried: 0, values: new Set() }))
    }
    if (known.tried === VALUES) return null
    const { size } = known.values
    const isNew = known.values.add(fingerprint()).size > size
    // What nobody asks for any more is not kept.
    if (++known.tried === VALUES) known.values.clear()
    return isNew
  }
}
