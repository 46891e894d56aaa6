// What a data plane hands to the shadow worker, read from its ring and put together again.
import { CUT, createBell, createRing, RECORD, RingReader, WHOLE, WITH_ANSWER } from '../../src/mirror/ring.ts'
import { MIRROR_CELL, MIRROR_OUTCOMES, ROW } from '../../src/observe/cells.ts'
import type { TestPlane } from './plane.ts'

/** One copy as far as it was told. */
export type CopyRead = {
  /** Names of the shadows that get it. */
  shadows: string[]
  head: string
  body: Buffer
  isWhole: boolean
  withAnswer: boolean
  answerHead: string
  answerBody: Buffer
  answer: 'none' | 'whole' | 'cut'
  aborted: string | null
}

export class CopyReader {
  readonly #plane: TestPlane
  readonly #reader: RingReader
  readonly #copies = new Map<number, CopyRead>()

  /** Links the plane to a ring of its own. */
  constructor(plane: TestPlane) {
    const ring = createRing()
    plane.plane.copies.link({ number: 1, ring, bell: createBell() })
    this.#plane = plane
    this.#reader = new RingReader(ring)
  }

  /** The copies so far, in the order they began. */
  get copies(): CopyRead[] {
    this.#reader.read({ onRecord: (...record) => this.#onRecord(...record) }, Number.POSITIVE_INFINITY)
    return [...this.#copies.values()]
  }

  /** What the data plane itself counted for a shadow, by outcome. */
  counted(shadow: string): Record<string, number> {
    const service = this.#plane.snapshot.services[0]!
    const { row } = service.mirrors!.find(({ to }) => service.versions[to]!.name === shadow)!
    const counts = MIRROR_OUTCOMES.map(
      (outcome, i) => [outcome, this.#plane.plane.cells[row * ROW + MIRROR_CELL.outcomes + i]!] as const,
    )
    return Object.fromEntries(counts.filter(([, count]) => count > 0))
  }

  #onRecord(kind: number, flags: number, number: number, bytes: Buffer, rows: readonly number[]): void {
    if (kind === RECORD.head) {
      const service = this.#plane.snapshot.services[0]!
      this.#copies.set(number, {
        shadows: rows.map(row => service.versions[service.mirrors!.find(mirror => mirror.row === row)!.to]!.name),
        head: bytes.toString('latin1'),
        body: Buffer.alloc(0),
        isWhole: (flags & WHOLE) !== 0,
        withAnswer: (flags & WITH_ANSWER) !== 0,
        answerHead: '',
        answerBody: Buffer.alloc(0),
        answer: 'none',
        aborted: null,
      })
      return
    }
    const copy = this.#copies.get(number)
    if (copy === undefined || copy.aborted !== null) throw new Error(`record ${kind} of copy ${number}`)
    if (kind === RECORD.body) copy.body = Buffer.concat([copy.body, bytes])
    else if (kind === RECORD.end) copy.isWhole = true
    else if (kind === RECORD.abort) copy.aborted = MIRROR_OUTCOMES[flags]!
    else if (kind === RECORD.answerHead) copy.answerHead = bytes.toString('latin1')
    else if (kind === RECORD.answerBody) copy.answerBody = Buffer.concat([copy.answerBody, bytes])
    else copy.answer = (flags & CUT) === 0 ? 'whole' : 'cut'
  }
}
