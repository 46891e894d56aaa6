// Writes revisions without a pause until it is killed, through what a running turnout writes them with; says the
// number of each as soon as it is stored. Argument: the state directory.
import { writeSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { by, open, shopDocument } from './revisions.ts'

/** A large one now and then, so that a kill meets writes of many pages too. */
function documentOf(number: number) {
  const count = number % 5 === 0 ? 300 : 1
  const routes = Array.from({ length: count }, (_, i) => ({ service: 'shop', match: { path: { exact: `/${i}` } } }))
  return shopDocument({ blue: 1, green: number }, { routes })
}

// Node keeps what it compiled when a process exits, which this one never does.
flushCompileCache()
const { revisions } = open(process.argv[2]!, shopDocument({ blue: 1 }))
await revisions.start()
for (;;) {
  const document = documentOf(revisions.current.number + 1)
  const { revision } = await revisions.change(({ state }) => ({ document, state, change: by('writer') }))
  writeSync(1, `${revision.number}\n`)
}
