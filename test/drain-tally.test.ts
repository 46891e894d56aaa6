import { expect, test } from 'vitest'
import { DrainTally } from '../src/control/drain-tally.ts'
import { REASONS, ROW, VERSION_CELL } from '../src/observe/cells.ts'
import { bytesOf, Counters } from '../src/observe/counters.ts'

const ROW_OF_BLUE = 3

/** Counters as workers write them. */
class Workers {
  readonly counters = new Counters()
  crashes = 0

  constructor(count: number) {
    for (let worker = 0; worker < count; worker++) this.counters.grow(worker, 8)
  }

  add(worker: number, cell: number, by: number): void {
    this.counters.regions[worker]![ROW_OF_BLUE * ROW + cell]! += by
  }

  begin(worker: number, reason: (typeof REASONS)[number] = 'hash'): void {
    this.add(worker, VERSION_CELL.selections + REASONS.indexOf(reason), 1)
    this.add(worker, VERSION_CELL.inFlight, 1)
  }

  end(worker: number): void {
    this.add(worker, VERSION_CELL.inFlight, -1)
  }

  upgrade(worker: number): void {
    this.add(worker, VERSION_CELL.tunnels, 1)
    this.end(worker)
  }

  force(worker: number, cell: number): void {
    this.add(worker, VERSION_CELL.forced, 1)
    this.add(worker, cell, -1)
  }

  crash(worker: number): void {
    const none: number[] = []
    this.counters.clearGauges(worker, { versions: [ROW_OF_BLUE], endpoints: none, listeners: none })
    this.crashes++
  }
}

function figures(tally: DrainTally) {
  tally.update()
  const { inFlight, tunnels, completed, forced, pinnedRequests } = tally
  return { inFlight, tunnels, completed, forced, pinnedRequests }
}

test('what was open before, what came since, and how each ended', () => {
  const workers = new Workers(2)
  for (let i = 0; i < 5; i++) workers.begin(i % 2)
  workers.end(0)
  workers.add(1, VERSION_CELL.forced, 7)
  const tally = new DrainTally(workers, ROW_OF_BLUE)
  expect(figures(tally)).toEqual({ inFlight: 4, tunnels: 0, completed: 0, forced: 0, pinnedRequests: 0 })
  workers.end(0)
  workers.begin(0, 'sticky')
  workers.begin(1, 'override')
  workers.upgrade(1)
  expect(figures(tally)).toEqual({ inFlight: 4, tunnels: 1, completed: 1, forced: 0, pinnedRequests: 1 })
  workers.force(0, VERSION_CELL.inFlight)
  workers.force(1, VERSION_CELL.tunnels)
  expect(figures(tally)).toEqual({ inFlight: 3, tunnels: 0, completed: 1, forced: 2, pinnedRequests: 1 })
  for (const worker of [0, 1, 1]) workers.end(worker)
  expect(figures(tally)).toEqual({ inFlight: 0, tunnels: 0, completed: 4, forced: 2, pinnedRequests: 1 })
})

test('what a dead worker had open does not complete', () => {
  const workers = new Workers(3)
  for (let i = 0; i < 9; i++) workers.begin(i % 3)
  const tally = new DrainTally(workers, ROW_OF_BLUE)
  workers.end(0)
  expect(figures(tally)).toMatchObject({ inFlight: 8, completed: 1 })
  workers.begin(1)
  workers.end(2)
  workers.crash(1)
  expect(figures(tally)).toMatchObject({ inFlight: 4, completed: 2 })
  // Its successor counts on in the same cells.
  workers.begin(1)
  workers.end(1)
  for (const worker of [0, 0, 2, 2]) workers.end(worker)
  expect(figures(tally)).toMatchObject({ inFlight: 0, completed: 7, forced: 0 })
})

test('a region that moves to larger memory goes on, and one too small for the row counts nothing', () => {
  const workers = new Workers(1)
  workers.begin(0)
  const tally = new DrainTally(workers, ROW_OF_BLUE)
  workers.counters.grow(0, 100)
  workers.end(0)
  expect(figures(tally)).toMatchObject({ inFlight: 0, completed: 1 })
  const small = new Workers(1)
  small.counters.regions[0] = new Float64Array(new SharedArrayBuffer(bytesOf(1)))
  const later = new DrainTally(small, ROW_OF_BLUE)
  expect(figures(later)).toMatchObject({ inFlight: 0, completed: 0 })
  small.counters.grow(0, 8)
  small.begin(0)
  expect(figures(later)).toMatchObject({ inFlight: 1, completed: 0 })
})

test('a look between two steps of a worker takes nothing for completed', () => {
  const workers = new Workers(1)
  const tally = new DrainTally(workers, ROW_OF_BLUE)
  // The selection was not seen yet, the request in flight was.
  workers.add(0, VERSION_CELL.inFlight, 1)
  expect(figures(tally)).toMatchObject({ inFlight: 1, completed: 0 })
  workers.add(0, VERSION_CELL.selections, 1)
  expect(figures(tally)).toMatchObject({ inFlight: 1, completed: 0 })
  workers.add(0, VERSION_CELL.tunnels, 1)
  expect(figures(tally)).toMatchObject({ inFlight: 1, tunnels: 1, completed: 0 })
  workers.end(0)
  workers.add(0, VERSION_CELL.forced, 1)
  expect(figures(tally)).toMatchObject({ inFlight: 0, tunnels: 1, completed: 0, forced: 1 })
  workers.add(0, VERSION_CELL.tunnels, -1)
  expect(figures(tally)).toMatchObject({ inFlight: 0, tunnels: 0, completed: 0, forced: 1 })
})
