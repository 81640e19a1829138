import { gunzipFile, isGzip } from './archive.ts'
import { recogniseDisk } from './disk-format.ts'
import { unpackDisk } from './disk-image.ts'
import { unpackArchive, type UnpackedImage } from './unpack.ts'
import type { UnpackedVm } from './vm-artifact.ts'

/**
 * Finds out what the file is by looking, checks it all through, and leaves its layers as files in `folder`.
 * IMAGE_BROKEN, TOO_LARGE, HOST_DISK_FULL; whatever is left in the folder is the caller's to remove.
 */
export async function unpackUpload(
  path: string,
  asked: { folder: string; command: readonly string[]; signal: AbortSignal },
): Promise<UnpackedImage | UnpackedVm> {
  const { folder, command, signal } = asked
  if (await isGzip(path)) await gunzipFile(path)
  const format = await recogniseDisk(path)
  return format === undefined
    ? unpackArchive(path, folder, command)
    : unpackDisk(path, { folder, format, signal })
}
