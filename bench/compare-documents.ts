/**
 * Pairs of JSON bodies such as two versions of a shop would answer: the same but for a few members. They are made
 * from numbers alone, so that every run has the same.
 */

export interface Pair {
  name: string
  primary: string
  shadow: string
}

/** Numbers that no double stands for have to be read by a slower parser. */
function serials({ name, primary, shadow }: Pair): Pair {
  const withSerials = (text: string) => text.replaceAll('"stock":', '"serial":9007199254740993,"stock":')
  return { name, primary: withSerials(primary), shadow: withSerials(shadow) }
}

interface Item {
  [member: string]: unknown
  id: string
  price: { amount: number; currency: string; discount: null }
  tags: string[]
}

export function documentPairs(): Pair[] {
  const item = makeItem(1)
  const list20 = makeList(45)
  const list200 = makeList(450)
  return [
    pair('small object, 1 difference', item, { ...item, stock: -1 }),
    pair('list, 3 differences', list20, changed(list20)),
    pair('list, 3 differences', list200, changed(list200)),
    pair('list, a time and an id of each item differ', list200, fresh(list200)),
    // The same bytes would be equal before anything is read.
    pair('list, equal but for the order of keys', list200, turned(list200)),
    serials(pair('list with numbers of 64 bits, which the others round, 3 differences', list200, changed(list200))),
  ]
}

function pair(name: string, primary: unknown, shadow: unknown): Pair {
  return { name, primary: JSON.stringify(primary), shadow: JSON.stringify(shadow) }
}

function makeItem(i: number): Item {
  const day = new Date(Date.UTC(2026, 0, 1 + (i % 300), i % 24, i % 60))
  return {
    id: uuid(i),
    sku: `SKU-${100_000 + i * 37}`,
    name: `Waterproof hiking boot, model ${i}`,
    description: 'A light boot with a sole that grips on wet rock; resoled by us for as long as you wear it.',
    price: { amount: Math.round(i * 137.7) / 100, currency: 'EUR', discount: null },
    stock: (i * 13) % 97,
    isAvailable: i % 7 !== 0,
    score: Math.round(((i * 31) % 500) * 1.37) / 100,
    tags: ['outdoor', 'boots', i % 2 === 0 ? 'brown' : 'black'],
    dimensions: { width: 12 + (i % 5), height: 9, depth: 30, unit: 'cm' },
    createdAt: day.toISOString(),
    updatedAt: day.toISOString(),
  }
}

function makeList(count: number): { items: Item[]; total: number; meta: Record<string, unknown> } {
  return {
    items: Array.from({ length: count }, (_, i) => makeItem(i)),
    total: count,
    meta: { page: 1, next: `/items?page=2&size=${count}`, requestId: uuid(count) },
  }
}

/** A value, a type and a missing member, far apart. */
function changed(list: ReturnType<typeof makeList>): unknown {
  const copy = structuredClone(list)
  const { items } = copy
  items[3]!.price.amount += 1
  items[items.length >> 1]!.stock = '7'
  delete items.at(-2)!.sku
  return copy
}

function fresh(list: ReturnType<typeof makeList>): unknown {
  const items = list.items.map((item, i) => ({ ...item, id: uuid(i + 1e6), updatedAt: '2026-11-30T12:00:00.000Z' }))
  return { ...list, items }
}

function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, turned(member)]),
  )
}

function uuid(i: number): string {
  const digits = Math.imul(i + 1, 0x9e3779b1)
    .toString(16)
    .replace('-', '')
    .padStart(8, '0')
  return `${digits}-4a1c-4b2d-8e3f-${digits}c0de`
}
