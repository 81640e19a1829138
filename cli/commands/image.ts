import { createReadStream, statSync } from 'node:fs'
import type { Command } from 'commander'
import { formatBytes } from '@nubo/base'
import type { Client } from '@nubo/client'
import type { Image } from '@nubo/contracts'
import type { CommandContext, ListShape } from '../context.ts'
import { FileError, whyFile } from '../errors.ts'
import { atOnce, changeEach, createOrLook } from '../follow.ts'
import { startProgress } from '../output/progress.ts'
import { renderFields } from '../output/table.ts'
import { age, plural } from '../output/values.ts'

const PIECE_BYTES = 256 * 1024

interface ImportOptions {
  digest: string | undefined
  command: string[] | undefined
}

export function defineImage(image: Command, context: CommandContext): void {
  image
    .command('import')
    .description(
      'import an image: for containers a root file system tar, the output of docker save, or an OCI layout tar; for VMs a raw, qcow2 or vmdk disk, or a tar of kernel, initrd and command-line',
    )
    .argument('<name>')
    .argument(
      '<file>',
      "the file, plain or gzip; what it is is found by looking; '-' reads the input",
    )
    .option('--digest <sha256:…>', 'refuse the file unless it has this digest')
    .argument('[command...]', "default command, for a root file system; after '--'")
    .action((name: string, file: string, command: string[], { digest }: { digest?: string }) =>
      importImage(context, name, file, {
        digest,
        command: command.length === 0 ? undefined : command,
      }),
    )

  image
    .command('ls')
    .description('list images')
    .action(async () => {
      const client = await context.connect()
      await context.printList(await client.listAll('imageList', context.inProject), shape(context))
    })

  image
    .command('show')
    .description('show an image')
    .argument('<image>')
    .action(async (id: string) => {
      const client = await context.connect()
      const found = await client.imageShow({ params: { id }, query: context.inProject })
      await context.printOne(found, found.name, (one) => details(context, one))
    })

  image
    .command('rm')
    .description('remove images that no set or VM uses')
    .argument('<image...>')
    .action(async (names: string[]) => {
      const client = await context.connect()
      await changeEach(
        context,
        names,
        atOnce((id) => client.imageRemove({ params: { id }, query: context.inProject })),
        { nameOf: ({ name }) => name, text: ({ name }) => `image ${name} removed\n` },
      )
    })
}

async function importImage(
  context: CommandContext,
  name: string,
  file: string,
  options: ImportOptions,
): Promise<void> {
  const imported = await uploadImage(context, await context.connect(), { name, file, ...options })
  await context.printOne(
    imported,
    imported.name,
    () =>
      `image ${imported.name} imported: ${formatBytes(imported.sizeBytes)}, ${imported.source}, ${imported.diskBytes === null ? '' : `disk of ${diskOf(imported)}, `}${imported.digest}\n`,
  )
}

/** Sends a file (or the input, '-') with progress on stderr. */
export async function uploadImage(
  context: CommandContext,
  client: Client,
  asked: { name: string; file: string } & ImportOptions,
): Promise<Image> {
  const { name, file, digest, command } = asked
  const { stdin } = context.surroundings
  const totalBytes = file === '-' ? undefined : sizeOf(file)
  const progress = startProgress(context.surroundings)
  const onProgress = uploadProgress(context, name, totalBytes, (text) => progress.update(text))
  const query = context.inProject
  try {
    return await createOrLook(
      () =>
        client.imageImport(
          {
            query: { ...query, name, digest, command },
            open: () =>
              file === '-'
                ? bytesOf(stdin)
                : bytesOf(createReadStream(file, { highWaterMark: PIECE_BYTES })),
          },
          { onProgress },
        ),
      { kind: 'image', name, look: () => client.imageShow({ params: { id: name }, query }) },
    )
  } finally {
    progress.end()
  }
}

/** Says how far an upload is: on a terminal at each percent, in a log at each tenth or each 64 MiB. */
function uploadProgress(
  { surroundings }: CommandContext,
  name: string,
  totalBytes: number | undefined,
  say: (text: string) => void,
): (sentBytes: number) => void {
  const isLive = surroundings.stderr.isTTY === true
  const stepBytes =
    totalBytes === undefined
      ? isLive
        ? 2 ** 20
        : 64 * 2 ** 20
      : Math.max(1, totalBytes / (isLive ? 100 : 10))
  let told = -1
  return (sentBytes) => {
    const step = Math.floor(sentBytes / stepBytes)
    if (step === told) return
    told = step
    const sent = formatBytes(sentBytes)
    if (totalBytes === undefined) say(`sending ${name}: ${sent}`)
    else if (sentBytes >= totalBytes) say(`${name}: all ${sent} sent, the server stores it`)
    else {
      const percent = Math.floor((sentBytes / totalBytes) * 100)
      say(`sending ${name}: ${sent} of ${formatBytes(totalBytes)} (${percent} %)`)
    }
  }
}

export function sizeOf(file: string): number {
  try {
    const found = statSync(file)
    if (!found.isFile()) throw new FileError(`${file} is not a file.`)
    return found.size
  } catch (cause) {
    if (cause instanceof FileError) throw cause
    throw new FileError(`${file} cannot be read: ${whyFile(cause)}.`, cause)
  }
}

export async function* bytesOf(
  stream: AsyncIterable<unknown>,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    for await (const piece of stream) {
      if (piece instanceof Uint8Array) yield piece
    }
  } catch (cause) {
    throw new FileError(`The file cannot be read: ${whyFile(cause)}.`, cause)
  }
}

function shape({ surroundings: { clock } }: CommandContext): ListShape<Image> {
  return {
    columns: [
      { header: 'NAME', value: ({ name }) => name },
      { header: 'KIND', value: ({ kind }) => kind },
      { header: 'SIZE', value: ({ sizeBytes }) => formatBytes(sizeBytes), align: 'right' },
      { header: 'DISK', value: diskOf, align: 'right' },
      { header: 'LAYERS', value: ({ layers }) => layers, align: 'right' },
      { header: 'SOURCE', value: ({ source }) => source },
      { header: 'USED BY', value: ({ usedBy }) => usedBy, align: 'right' },
      { header: 'AGE', value: ({ createdAtMs }) => age(clock, createdAtMs) },
      { header: 'DIGEST', value: ({ digest }) => digest.slice(0, 'sha256:'.length + 12) },
    ],
    nameOf: ({ name }) => name,
    empty: 'There is no image yet. Import one: nubo image import NAME FILE',
  }
}

function diskOf({ diskBytes }: Image): string {
  return diskBytes === null ? '-' : formatBytes(diskBytes)
}

function details({ surroundings: { clock } }: CommandContext, one: Image): string {
  return renderFields([
    ['name', one.name],
    ['id', one.id],
    ['kind', one.kind],
    ...(one.diskBytes === null ? [] : [['disk', diskOf(one)] as const]),
    ['size', `${formatBytes(one.sizeBytes)}, ${plural(one.layers, 'layer')}`],
    ['source', one.source],
    ['command', one.command.join(' ')],
    ['repository', one.repository],
    ['digest', one.digest],
    ['used by', plural(one.usedBy, one.kind === 'container' ? 'set' : 'VM')],
    ['age', age(clock, one.createdAtMs)],
  ])
}
