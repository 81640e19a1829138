/**
 * Guests of 512 bytes, for tests of a real QEMU: up in a tenth of a second. Each counts its boots in its own sector, writes
 * `READY n` to the serial port, and writes back what it reads there, but `o` switches it off (ACPI's PM1 control register
 * of q35), `p` makes it panic (pvpanic), `f` makes it write without end, and `r` resets it.
 */

/** 16-bit code at 0x7c00, as `objdump -m i8086` shows it. */
const CODE = [
  'fa 31c0 8ed8 8ec0 8ed0 bc007c fb fc', // cli; ds = es = ss = 0; sp = 0x7c00; sti; cld
  'fe06b07c', // inc byte [boots]
  'b80103 b90100 b600 bb007c cd13', // write this sector back to where it came from (BIOS)
  'ba0206 b80001 ef', // enable the event of the power button: PM1_EN (0x602) = 0x100
  'bea87c', // si = message
  'ac 84c0 7405 e86800 ebf6', // print: al = [si++]; if al = 0 go on; putc; jmp print
  'a0b07c 0430 e85e00 b00d e85900 b00a e85400', // putc the number of boots, CR, LF
  '803eaf7c00 7409', // listen: if not [isObedient] skip the button
  'ba0006 ed f6c401 7524', // if PM1_STS (0x600) has the button: jmp off
  'bafd03 ec a801 7419', // if the port has nothing to read: jmp idle
  'baf803 ec', // al = what was typed
  '3c6f 7414 3c70 7419 3c66 7425 3c72 7419', // o: off, p: panic, f: flood, r: reset
  'e82500 ebcf', // putc; jmp listen
  'f4 ebcc', // idle: hlt (the timer wakes it 18 times a second); jmp listen
  'ba0406 b80020 ef ebf4', // off: PM1_CNT (0x604) = 0x2000; jmp idle
  'ba0505 b001 ee ebbb', // panic: out 0x505, 1; jmp listen
  'baf90c b006 ee ebe4', // reset: out 0xcf9, 6; jmp idle
  'b078 e80200 ebf9', // flood: putc 'x' for ever
  '50 bafd03 ec a820 74fb 58 baf803 ee c3', // putc: wait until the port takes a letter; write it; ret
].join(' ')

const MESSAGE_AT = 0xa8
const OBEDIENT_AT = 0xaf

export function tinyGuest({ isObedient }: { readonly isObedient: boolean }): Buffer {
  const sector = Buffer.alloc(512)
  const code = Buffer.from(CODE.replaceAll(' ', ''), 'hex')
  if (code.length !== MESSAGE_AT) throw new Error(`the code has ${code.length} bytes`)
  code.copy(sector)
  sector.write('READY \0', MESSAGE_AT, 'latin1')
  sector[OBEDIENT_AT] = isObedient ? 1 : 0
  // The boots follow it, from 0. The last two bytes make it bootable.
  sector.writeUInt16LE(0xaa55, 510)
  return sector
}

/**
 * The same guest as a kernel that QEMU loads by itself: a header of Linux's boot protocol 2.03 (Documentation/arch/x86/boot.rst)
 * and real-mode code that puts the sector where a BIOS would. It counts its boots from 0 each time.
 */
export function tinyKernel(): Buffer {
  const [CODE_AT, GUEST_AT, SETUP_BYTES] = [0x300, 0x400, 0x600]
  const kernel = Buffer.alloc(SETUP_BYTES + 512)
  kernel[0x1f1] = SETUP_BYTES / 512 - 1
  kernel.writeUInt16LE(0xaa55, 0x1fe)
  // Execution begins at 0x200, two bytes before the header: jmp 0x268, and from there on to the code.
  kernel.set([0xeb, 0x66], 0x200)
  kernel[0x268] = 0xe9
  kernel.writeUInt16LE(CODE_AT - 0x26b, 0x269)
  kernel.write('HdrS', 0x202, 'latin1')
  kernel.writeUInt16LE(0x0203, 0x206)
  // Loaded high.
  kernel[0x211] = 1
  kernel.writeUInt32LE(0x37ffffff, 0x22c)
  // cli; cld; si = GUEST_AT; es = 0; di = 0x7c00; cx = 256; rep movsw; dl = 0x80 (first disk); jmp 0:0x7c00
  const code = 'fa fc be0004 31c0 8ec0 bf007c b90001 f3a5 b280 ea007c0000'
  Buffer.from(code.replaceAll(' ', ''), 'hex').copy(kernel, CODE_AT)
  tinyGuest({ isObedient: true }).copy(kernel, GUEST_AT)
  return kernel
}
