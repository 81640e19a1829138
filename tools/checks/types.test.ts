import { it } from 'node:test'
import { check } from './check.ts'

it('TypeScript finds no error', async () => {
  await check(['tsc', '--project', 'tsconfig.json', '--pretty', 'false'])
})
