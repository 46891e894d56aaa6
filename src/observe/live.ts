// Shared memory that changes between two revisions: what the control plane found out about endpoints, and
// counts that must be exact over all workers. It comes in blocks that never move, so everyone may keep a view.

/** 32-bit integers in a row. */
const LIVE_ROW = 4
/** Rows in a block (16 KiB). */
const BLOCK_ROWS = 1024

/** Cells of a row. Rows are those of the counters (snapshot/protocol.ts). */
export const LIVE = {
  /** Endpoint: how much of its weight it gets, in thousandths. 0 = unusable, FULL_SHARE = all. Control plane writes. */
  share: 0,
  /** Endpoint: failures in a row, over all workers. Workers write, with Atomics. */
  failures: 1,
  /** Version with a limit: its requests in flight, over all workers. Workers write, with Atomics. */
  requests: 2,
  /** Mirror: requests that it may copy, over all workers. Workers write, with Atomics. */
  seen: 1,
  /** Mirror: a GATE. The shadow worker writes; a hint, so nobody waits for it. */
  gate: 2,
} as const

/** Whether copies for a mirror are of any use now. */
export const GATE = { open: 0, queueFull: 1, shadowDown: 2 } as const

/** The share of an endpoint that nothing is wrong with. */
export const FULL_SHARE = 1000

/** Where a row lies: `cells[at + LIVE.share]` is its share. */
export type LiveRow = { readonly cells: Int32Array; readonly at: number }

export class LiveCells {
  readonly #blocks: Int32Array[] = []

  /** What other threads need to see the same rows. */
  get buffers(): SharedArrayBuffer[] {
    return this.#blocks.map(block => block.buffer as SharedArrayBuffer)
  }

  /** Learns of blocks that were added since. */
  adopt(buffers: readonly SharedArrayBuffer[]): void {
    for (const buffer of buffers.slice(this.#blocks.length)) this.#blocks.push(new Int32Array(buffer))
  }

  /** Makes room for `rows` rows. */
  grow(rows: number): void {
    while (this.#blocks.length * BLOCK_ROWS < rows) {
      this.#blocks.push(new Int32Array(new SharedArrayBuffer(BLOCK_ROWS * LIVE_ROW * Int32Array.BYTES_PER_ELEMENT)))
    }
  }

  row(row: number): LiveRow {
    return { cells: this.#blocks[Math.floor(row / BLOCK_ROWS)]!, at: (row % BLOCK_ROWS) * LIVE_ROW }
  }

  /** All of its weight for an endpoint; what is counted goes on. */
  restore(row: number): void {
    const { cells, at } = this.row(row)
    Atomics.store(cells, at + LIVE.share, FULL_SHARE)
  }

  /** A row that begins anew: all of its weight, nothing counted. */
  reset(row: number): void {
    this.restore(row)
    const { cells, at } = this.row(row)
    Atomics.store(cells, at + LIVE.failures, 0)
    Atomics.store(cells, at + LIVE.requests, 0)
  }
}
