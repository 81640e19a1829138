import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import {
  isUuid,
  newId,
  PlatformError,
  type Clock,
  type HostId,
  type ProjectId,
  type Random,
} from '@nubo/base'
import { violatedConstraint } from '@nubo/runtime'
import type { ImageRow, Recorder, World } from '../../world/index.ts'
import { nameTaken, projectOf, type Caller } from '../identity/index.ts'
import { diskFull, isDiskFull } from './archive.ts'
import { composeManifest } from './manifest.ts'
import type { ImageRegistry, ImportLock } from './needs.ts'
import { PULL_TOKEN_VALIDITY_MS, type RegistryTokens } from './registry-token.ts'
import { deleteImage, insertImage, isUsed } from './store.ts'
import { unpackUpload } from './unpack-upload.ts'
import type { UnpackedImage } from './unpack.ts'
import { receiveUpload } from './upload.ts'
import { composeVmArtifact, type UnpackedVm } from './vm-artifact.ts'

/** Imports hold disk and CPU; more wait their turn at the client's pace. */
const IMPORTS_AT_ONCE_MAX = 4

export interface ImageDeps {
  readonly world: World
  readonly recorder: Recorder
  readonly clock: Clock
  readonly random: Random
  readonly registry: ImageRegistry
  readonly tokens: RegistryTokens
  readonly lock: ImportLock
  /** Holds uploads while they are worked on. */
  readonly folder: string
}

export interface ImportAsked {
  readonly name: string
  readonly digest?: string | undefined
  readonly command?: string | string[] | undefined
}

async function makeFolder(parent: string): Promise<string> {
  try {
    await mkdir(parent, { recursive: true, mode: 0o700 })
    return await mkdtemp(join(parent, 'import-'))
  } catch (cause) {
    throw isDiskFull(cause) ? diskFull(cause) : cause
  }
}

/** The part of the row that differs between images of containers and those of VMs. */
function whatStarts(
  unpacked: UnpackedImage | UnpackedVm,
): Pick<ImageRow, 'kind' | 'disk' | 'command'> {
  if ('vm' in unpacked) {
    const { kind, virtualBytes, commandLine } = unpacked.vm
    return { kind, disk: { virtualBytes, commandLine }, command: [] }
  }
  const { Entrypoint, Cmd } = unpacked.config.config ?? {}
  return { kind: 'container', disk: null, command: [...(Entrypoint ?? []), ...(Cmd ?? [])] }
}

function commandOfVm(): PlatformError {
  return new PlatformError(
    'INVALID_INPUT',
    { field: 'command', next: 'import it without a command' },
    { message: 'command: the file is for VMs, and only a root file system takes a command' },
  )
}

export type ImageService = ReturnType<typeof createImageService>

export function createImageService(deps: ImageDeps) {
  const { world, recorder, clock, random, registry, tokens, lock } = deps
  let importing = 0

  function findImage(project: ProjectId, nameOrId: string): ImageRow {
    const row = isUuid(nameOrId)
      ? world.image.get(nameOrId)
      : world.image.by('name', `${project}/${nameOrId}`)[0]
    if (row === undefined || row.projectId !== project) {
      throw new PlatformError(
        'NOT_FOUND',
        { kind: 'image', image: nameOrId, next: 'see `nubo image ls`, or import it' },
        { message: `There is no image ${nameOrId} here.` },
      )
    }
    return row
  }

  function refuseTakenName(project: ProjectId, name: string): void {
    if (world.image.by('name', `${project}/${name}`).length === 0) return
    throw new PlatformError(
      'NAME_TAKEN',
      { field: 'name', kind: 'image', name, next: 'choose another name, or remove the old image' },
      { message: `An image called ${name} exists already.` },
    )
  }

  async function push(
    repository: string,
    image: UnpackedImage | UnpackedVm,
    signal: AbortSignal,
  ): Promise<string> {
    const { config, manifest, mediaType } =
      'vm' in image ? composeVmArtifact(image) : composeManifest(image)
    for (const layer of image.layers) {
      await registry.putBlob(
        repository,
        {
          digest: layer.digest,
          sizeBytes: layer.sizeBytes,
          open: () => createReadStream(layer.path),
        },
        signal,
      )
    }
    await registry.putBlob(
      repository,
      {
        digest: config.digest,
        sizeBytes: config.sizeBytes,
        open: () => Readable.from([Buffer.from(config.text)]),
      },
      signal,
    )
    return registry.putManifest(repository, { mediaType, text: manifest }, signal)
  }

  return {
    findImage,

    resolve: (project: ProjectId, nameOrId: string) => {
      const { id, name, repository, digest, disk } = findImage(project, nameOrId)
      // A row of a server that does not know the column is without it.
      return { id, name, repository, digest, disk: disk ?? null }
    },

    /** Receives, checks, pushes, records; what fails half-way leaves at most an unrecorded repository, which the collection removes. */
    importImage: async (
      caller: Caller,
      asked: ImportAsked,
      upload: { body: Readable; signal: AbortSignal },
    ): Promise<ImageRow> => {
      const project = projectOf(caller)
      refuseTakenName(project, asked.name)
      if (importing >= IMPORTS_AT_ONCE_MAX) {
        throw new PlatformError('TOO_MANY_REQUESTS', {
          limit: `${IMPORTS_AT_ONCE_MAX} imports at once`,
          next: 'try again when one has ended',
        })
      }
      importing++
      let folder: string | undefined
      try {
        folder = await makeFolder(deps.folder)
        const path = join(folder, 'upload')
        const { signal } = upload
        const uploadDigest = await receiveUpload(upload.body, {
          path,
          digest: asked.digest,
          signal,
        })
        const command = asked.command === undefined ? [] : [asked.command].flat()
        const unpacked = await unpackUpload(path, { folder, command, signal })
        if ('vm' in unpacked && command.length > 0) throw commandOfVm()
        const id: ImageRow['id'] = newId(clock, random)
        // Its own, so that no other import (one of the same name that loses, say) moves the tag that keeps its manifest.
        const repository = `${project}/${asked.name}/${id}`
        const row = await lock.whileImporting(async (held) => {
          const digest = await push(repository, unpacked, AbortSignal.any([upload.signal, held]))
          // Without the lock a collection may have taken what was pushed.
          held.throwIfAborted()
          const fresh: ImageRow = {
            id,
            projectId: project,
            name: asked.name,
            repository,
            digest,
            sizeBytes: unpacked.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0),
            layers: unpacked.layers.length,
            source: unpacked.source,
            createdAtMs: clock.nowMs(),
            uploadDigest,
            ...whatStarts(unpacked),
          }
          await recorder
            .write((tx, touched) => insertImage(tx, touched, fresh))
            .catch(async (error: unknown) => {
              // After any other error the image may be recorded all the same; the collection finds out.
              if (violatedConstraint(error) !== undefined)
                await registry.deleteManifest(repository, digest).catch(() => undefined)
              return nameTaken('image', asked.name)(error)
            })
          return fresh
        })
        return row
      } finally {
        importing--
        if (folder !== undefined) await rm(folder, { recursive: true, force: true })
      }
    },

    removeImage: async (caller: Caller, nameOrId: string): Promise<ImageRow> => {
      const image = findImage(projectOf(caller), nameOrId)
      await recorder.write(async (tx, touched) => {
        if (await isUsed(tx, image.id)) {
          throw new PlatformError(
            'IN_USE',
            { image: image.name, next: 'remove what uses it; see `nubo set ls` and `nubo vm ls`' },
            { message: `Image ${image.name} is in use.` },
          )
        }
        await deleteImage(tx, touched, image.id)
      })
      await registry.deleteManifest(image.repository, image.digest).catch(() => undefined)
      return image
    },

    /** For a host that may have the repository; short-lived and pull only. */
    pullToken: (
      hostId: HostId,
      repository: string,
    ): { registry: string; token: string; expiresAtMs: number } => ({
      registry: registry.address,
      ...tokens.issue({
        subject: hostId,
        repository,
        actions: ['pull'],
        validityMs: PULL_TOKEN_VALIDITY_MS,
      }),
    }),
  }
}
