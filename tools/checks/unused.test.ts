import { it } from 'node:test'
import { check } from './check.ts'

it('no file, export or dependency is unused', async () => {
  await check(['knip', '--config', 'tools/knip.json', '--no-progress'])
})
