// How the tests run: `vitest run` the suite, `vitest run --mode slow` what takes longer (test/slow).
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

export default defineConfig(({ mode }) => {
  const isSlow = mode === 'slow'
  const timeout = isSlow ? 120_000 : 60_000
  return {
    test: {
      include: [isSlow ? 'test/slow/**/*.test.ts' : 'test/*.test.ts'],
      pool: 'forks',
      // Two for two cores, and one for the time in which others only wait. What is slow is measured, so it runs alone.
      maxWorkers: isSlow ? 1 : 3,
      // The sources are loaded once a process and not once a file, which took a quarter of all time.
      isolate: false,
      // Hundreds of turnouts are started, and each would compile the same code again.
      env: { NODE_COMPILE_CACHE: join(tmpdir(), 'turnout-test-compile-cache') },
      testTimeout: timeout,
      hookTimeout: timeout,
      reporters: ['default', './test/support/summary-reporter.ts'],
    },
  }
})
