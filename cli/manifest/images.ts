import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { isApiError, type Client } from '@nubo/client'
import type { Image } from '@nubo/contracts'
import { bytesOf, sizeOf, uploadImage } from '../commands/image.ts'
import type { CommandContext } from '../context.ts'
import type { ManifestBody, ReadManifest } from './manifest.ts'

type ImagePart = NonNullable<ManifestBody['images']>[number]

/** Images of a manifest as the API takes them. A file is read only where an image of the name is there to compare with. */
export async function imageParts(
  context: CommandContext,
  client: Client,
  { images, files }: ReadManifest,
): Promise<ImagePart[]> {
  const parts: ImagePart[] = []
  for (const name of images) {
    const file = files.find((one) => one.name === name)?.file
    if (file === undefined) {
      parts.push({ name })
      continue
    }
    sizeOf(file)
    const there = await findImage(context, client, name)
    if (there === undefined) parts.push({ name, willUpload: true })
    else if (there.uploadDigest === null) parts.push({ name })
    else parts.push({ name, digest: await digestOf(file) })
  }
  return parts
}

/** Uploads what is not there yet. */
export async function uploadMissing(
  context: CommandContext,
  client: Client,
  manifest: { parts: readonly ImagePart[]; files: ReadManifest['files'] },
): Promise<void> {
  for (const { name, willUpload } of manifest.parts) {
    const from = manifest.files.find((one) => one.name === name)
    if (willUpload !== true || from === undefined) continue
    await uploadImage(context, client, { ...from, digest: undefined })
  }
}

async function findImage(
  context: CommandContext,
  client: Client,
  name: string,
): Promise<Image | undefined> {
  try {
    return await client.imageShow({ params: { id: name }, query: context.inProject })
  } catch (error) {
    if (isApiError(error, 'NOT_FOUND')) return undefined
    throw error
  }
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of bytesOf(createReadStream(file))) hash.update(piece)
  return `sha256:${hash.digest('hex')}`
}
