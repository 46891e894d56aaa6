// Addresses of shadows by name, one name at a time. Node looks names up on a few threads that the whole process
// shares, so a resolver that does not know a shadow must not keep the primaries waiting for theirs.
import { type LookupAddress, lookup } from 'node:dns'

type Done = (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void

/** Looks a name up, as `dns.lookup` does with the option `all`. */
export type LookUp = (name: string, done: Done) => void

export class OneName {
  readonly #lookUp: LookUp
  /** Who waits for each name, the longest wait first. */
  readonly #waiting = new Map<string, Done[]>()
  #isBusy = false

  constructor(lookUp: LookUp = (name, done) => lookup(name, { all: true }, done)) {
    this.#lookUp = lookUp
  }

  /** For `net.connect`, which asks for all addresses when it may try several. */
  readonly lookup = (name: string, _options: unknown, done: Done): void => {
    const others = this.#waiting.get(name)
    if (others === undefined) this.#waiting.set(name, [done])
    else others.push(done)
    this.#next()
  }

  #next(): void {
    if (this.#isBusy) return
    const next = this.#waiting.entries().next().value
    if (next === undefined) return
    const [name, waiting] = next
    this.#isBusy = true
    this.#lookUp(name, (error, addresses) => {
      this.#isBusy = false
      this.#waiting.delete(name)
      for (const done of waiting) done(error, addresses)
      this.#next()
    })
  }
}
