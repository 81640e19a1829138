import { ByteReader } from './bytes.ts'
import { OpenFlowError } from './errors.ts'

/** Why a switch refused a request, OFPT_ERROR. */
export class OpenFlowRemoteError extends OpenFlowError {
  /** OFPET_*: the family. */
  readonly type: number
  /** The code within the family. */
  readonly code: number
  /** OFPBMC_BAD_PREREQ and the like; numbers where we know no name. */
  readonly codeName: string

  constructor(refusal: Refusal) {
    super(`the switch refused: ${refusal.codeName}`)
    this.type = refusal.type
    this.code = refusal.code
    this.codeName = refusal.codeName
  }
}

export interface Refusal {
  readonly type: number
  readonly code: number
  readonly codeName: string
}

const OFPET_EXPERIMENTER = 0xffff
const EXPERIMENTER_NICIRA = 0x0000_2320

/** Throws OpenFlowDecodeError. */
export function decodeError(body: Uint8Array): Refusal {
  const reader = new ByteReader(body)
  const type = reader.u16()
  const code = reader.u16()
  if (type !== OFPET_EXPERIMENTER) return { type, code, codeName: standardName(type, code) }
  const experimenter = reader.u32()
  const name = experimenter === EXPERIMENTER_NICIRA ? niciraNames.get(code) : undefined
  return { type, code, codeName: name ?? `experimenter 0x${experimenter.toString(16)} ${code}` }
}

function standardName(type: number, code: number): string {
  const family = families.get(type)
  const name = family?.codes[code]
  return family === undefined || name === undefined || name === ''
    ? `type ${type} code ${code}`
    : `${family.prefix}_${name}`
}

interface Family {
  readonly prefix: string
  /** By code; empty where there is none. */
  readonly codes: readonly string[]
}

function family(prefix: string, codes: string): Family {
  return { prefix, codes: codes.split(' ') }
}

/** Section 7.5.4 of OpenFlow 1.4 and 1.5. */
const families: ReadonlyMap<number, Family> = new Map([
  [0, family('OFPHFC', 'INCOMPATIBLE EPERM')],
  [
    1,
    family(
      'OFPBRC',
      'BAD_VERSION BAD_TYPE BAD_MULTIPART BAD_EXPERIMENTER BAD_EXP_TYPE EPERM BAD_LEN BUFFER_EMPTY BUFFER_UNKNOWN BAD_TABLE_ID IS_SLAVE BAD_PORT BAD_PACKET MULTIPART_BUFFER_OVERFLOW MULTIPART_REQUEST_TIMEOUT MULTIPART_REPLY_TIMEOUT MULTIPART_BAD_SCHED PIPELINE_FIELDS_ONLY UNKNOWN',
    ),
  ],
  [
    2,
    family(
      'OFPBAC',
      'BAD_TYPE BAD_LEN BAD_EXPERIMENTER BAD_EXP_TYPE BAD_OUT_PORT BAD_ARGUMENT EPERM TOO_MANY BAD_QUEUE BAD_OUT_GROUP MATCH_INCONSISTENT UNSUPPORTED_ORDER BAD_TAG BAD_SET_TYPE BAD_SET_LEN BAD_SET_ARGUMENT BAD_SET_MASK BAD_METER',
    ),
  ],
  [
    3,
    family(
      'OFPBIC',
      'UNKNOWN_INST UNSUP_INST BAD_TABLE_ID UNSUP_METADATA UNSUP_METADATA_MASK BAD_EXPERIMENTER BAD_EXP_TYPE BAD_LEN EPERM DUP_INST',
    ),
  ],
  [
    4,
    family(
      'OFPBMC',
      'BAD_TYPE BAD_LEN BAD_TAG BAD_DL_ADDR_MASK BAD_NW_ADDR_MASK BAD_WILDCARDS BAD_FIELD BAD_VALUE BAD_MASK BAD_PREREQ DUP_FIELD EPERM',
    ),
  ],
  [
    5,
    family(
      'OFPFMFC',
      'UNKNOWN TABLE_FULL BAD_TABLE_ID OVERLAP EPERM BAD_TIMEOUT BAD_COMMAND BAD_FLAGS CANT_SYNC BAD_PRIORITY IS_SYNC',
    ),
  ],
  [10, family('OFPSCFC', 'BAD_FLAGS BAD_LEN EPERM')],
  [
    14,
    family(
      'OFPBPC',
      'BAD_TYPE BAD_LEN BAD_VALUE TOO_MANY DUP_TYPE BAD_EXPERIMENTER BAD_EXP_TYPE BAD_EXP_VALUE EPERM',
    ),
  ],
  [15, family('OFPACFC', 'INVALID UNSUPPORTED EPERM')],
  [
    17,
    family(
      'OFPBFC',
      'UNKNOWN EPERM BAD_ID BUNDLE_EXIST BUNDLE_CLOSED OUT_OF_BUNDLES BAD_TYPE BAD_FLAGS MSG_BAD_LEN MSG_BAD_XID MSG_UNSUP MSG_CONFLICT MSG_TOO_MANY MSG_FAILED TIMEOUT BUNDLE_IN_PROGRESS SCHED_NOT_SUPPORTED SCHED_FUTURE SCHED_PAST',
    ),
  ],
])

/** Errors of Open vSwitch beyond the standard, as far as this package can cause them. */
const niciraNames: ReadonlyMap<number, string> = new Map([
  [2, 'NXBRC_NXM_INVALID'],
  [3, 'NXBRC_NXM_BAD_TYPE'],
  [4, 'NXBRC_MUST_BE_ZERO'],
  [11, 'NXBAC_MUST_BE_ZERO'],
  [12, 'NXFMFC_HARDWARE'],
  [13, 'NXFMFC_BAD_TABLE_ID'],
  [22, 'OFPBFC_BAD_VERSION'],
  [34, 'NXR_NOT_SUPPORTED'],
  [35, 'NXR_STALE'],
  [42, 'NXBAC_CT_DATAPATH_SUPPORT'],
  [43, 'NXBMC_CT_DATAPATH_SUPPORT'],
])
