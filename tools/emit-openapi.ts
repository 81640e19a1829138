/** `node tools/emit-openapi.ts`, after each change of contracts/public: writes contracts/openapi.json. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openApiText } from '@nubo/contracts/openapi'
import { top } from './checkout.ts'

const path = join(top, 'contracts', 'openapi.json')
writeFileSync(path, openApiText())
process.stdout.write(`Wrote ${path}\n`)
