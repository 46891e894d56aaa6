import { expect, test } from 'vitest'
import { type LookUp, OneName } from '../src/shadow/lookup.ts'

/** A resolver that answers when it is told to, and what was asked and answered. */
function slowResolver() {
  const asked: string[] = []
  const told: string[] = []
  let answer: Parameters<LookUp>[1] = () => {}
  const names = new OneName((name, done) => {
    asked.push(name)
    answer = done
  })
  const ask = (name: string, who: string) =>
    names.lookup(name, {}, (error, addresses) => told.push(`${who} ${error?.code ?? addresses[0]!.address}`))
  return { asked, told, ask, answer: (...args: Parameters<Parameters<LookUp>[1]>) => answer(...args) }
}

test('one name is looked up at a time, once for all who wait for it, in turn', () => {
  const { asked, told, ask, answer } = slowResolver()
  for (const who of ['first', 'second']) ask('green.test', who)
  ask('red.test', 'third')
  ask('green.test', 'fourth')
  expect(asked).toEqual(['green.test'])
  answer(null, [{ address: '127.0.0.1', family: 4 }])
  expect(told).toEqual(['first 127.0.0.1', 'second 127.0.0.1', 'fourth 127.0.0.1'])
  expect(asked).toEqual(['green.test', 'red.test'])
  // It comes again behind those that wait.
  ask('green.test', 'fifth')
  answer(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), [])
  expect(told.slice(3)).toEqual(['third ENOTFOUND'])
  expect(asked).toEqual(['green.test', 'red.test', 'green.test'])
  answer(null, [{ address: '127.0.0.2', family: 4 }])
  expect(told.at(-1)).toBe('fifth 127.0.0.2')
})
