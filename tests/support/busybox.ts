import { readFileSync } from 'node:fs'
import { run } from '@nubo/runtime'
import { tarOf, type TarEntry } from './tar.ts'

const BUSYBOX = '/bin/busybox'

/** A root file system with real programs in it: the machine's static busybox, and a page for httpd. */
export async function busyboxTar(): Promise<Buffer> {
  const { stdout } = await run({ argv: [BUSYBOX, '--list'] })
  const commands = stdout.split('\n').filter((name) => name !== '' && name !== 'busybox')
  const folders = ['bin', 'dev', 'etc', 'proc', 'root', 'sys', 'tmp', 'www']
  return tarOf([
    ...folders.map((name): TarEntry => ({ name: `${name}/`, type: '5' })),
    { name: 'bin/busybox', content: readFileSync(BUSYBOX) },
    ...commands.map((name): TarEntry => ({ name: `bin/${name}`, type: '2', linkName: 'busybox' })),
    { name: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\n' },
    { name: 'www/index.html', content: 'Hello from a set.\n' },
  ])
}
