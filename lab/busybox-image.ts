import { readFileSync } from 'node:fs'
import { run } from '@nubo/runtime'
import { pack } from 'tar-stream'

const BUSYBOX = '/bin/busybox'
// The same bytes each time, so that the image has the same digest.
const TIME = new Date(0)

// `fetch ADDRESS [PORT]` prints a page with its HTTP headers. Debian's static busybox crashes in its own wget.
const FETCH = `#!/bin/sh
printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 "$1" "\${2:-80}"
`

/** The root file system of a small Linux, as a tar: the machine's static busybox with all its commands, and `fetch`. */
export async function busyboxRootTar(): Promise<Uint8Array> {
  const { stdout } = await run({ argv: [BUSYBOX, '--list'] })
  const commands = stdout.split('\n').filter((name) => name !== '' && name !== 'busybox')
  const tar = pack()
  for (const folder of ['bin', 'dev', 'etc', 'proc', 'root', 'sys', 'tmp', 'var', 'www']) {
    tar.entry({
      name: folder,
      type: 'directory',
      mode: folder === 'tmp' ? 0o1777 : 0o755,
      mtime: TIME,
    })
  }
  tar.entry({ name: 'bin/busybox', mode: 0o755, mtime: TIME }, readFileSync(BUSYBOX))
  for (const name of commands) {
    tar.entry({ name: `bin/${name}`, type: 'symlink', linkname: 'busybox', mtime: TIME })
  }
  tar.entry({ name: 'bin/fetch', mode: 0o755, mtime: TIME }, FETCH)
  tar.entry({ name: 'etc/passwd', mtime: TIME }, 'root:x:0:0:root:/root:/bin/sh\n')
  tar.entry({ name: 'etc/group', mtime: TIME }, 'root:x:0:\n')
  tar.entry({ name: 'www/index.html', mtime: TIME }, 'Hello from a container set of Nubo.\n')
  tar.finalize()
  const chunks: Buffer[] = []
  // proof: a packer yields buffers
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}
