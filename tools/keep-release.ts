/**
 * `node tools/keep-release.ts COMMIT`: keeps what agents and servers of a release are made of as the previous release that
 * the upgrade suite runs beside the present one. Run it with the commit of a release once it is out.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants } from 'node:zlib'
import { run } from '@nubo/runtime'
import { top } from './checkout.ts'

const FOLDERS = ['base', 'contracts', 'runtime', 'wire', 'datapath', 'control-plane', 'host-agent']
const KEPT = /\.ts$|(^|\/)package\.json$|\/migrations\/\d{4}-[^/]*\.sql$/
const TEST_CODE = /\.test\.ts$|\/testing\/|\/conformance(\/|\.ts$)/
const GIT_BYTES_MAX = 64 * 2 ** 20
const archive = join(top, 'tests/upgrade/fixtures/previous-release.json.br')

async function git(...argv: string[]): Promise<string> {
  const { stdout } = await run({ argv: ['git', '-C', top, ...argv], outputBytesMax: GIT_BYTES_MAX })
  return stdout
}

const [asked] = process.argv.slice(2)
if (asked === undefined) {
  process.stderr.write('usage: node tools/keep-release.ts COMMIT\n')
  process.exit(2)
}
const commit = (await git('rev-parse', '--verify', `${asked}^{commit}`)).trim()
const listed = await git('ls-tree', '-r', '--name-only', commit, 'package.json', ...FOLDERS)
const paths = listed.split('\n').filter((path) => KEPT.test(path) && !TEST_CODE.test(path))
const files: Record<string, string> = {}
for (const path of paths) files[path] = await git('show', `${commit}:${path}`)
const bytes = brotliCompressSync(JSON.stringify({ commit, files }), {
  params: { [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS },
})
writeFileSync(archive, bytes)
process.stdout.write(`${commit.slice(0, 12)}: ${paths.length} files, ${bytes.length} bytes\n`)
