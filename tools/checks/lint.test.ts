import { it } from 'node:test'
import { check } from './check.ts'

it('the linter finds no fault', async () => {
  await check(['oxlint', '--type-aware', '--deny-warnings'])
})

it('every file is formatted', async () => {
  await check(['oxfmt', '--check'])
})
