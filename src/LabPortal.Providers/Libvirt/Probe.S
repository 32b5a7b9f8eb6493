# The one sector that Acceleration.cs boots: from the BIOS through protected mode into long mode with pages, as every kernel goes,
# and then off by ACPI. Its bytes stand there in hexadecimal; to make them again:
#   as --64 -o probe.o Probe.S && objcopy -O binary -j .text probe.o probe.bin && xxd -p -l 194 probe.bin
.code16
.org 0
start:
  cli
  xorw %ax,%ax
  movw %ax,%ds
  movw %ax,%ss
  movw %ax,%es
  movw $0x7c00,%sp
  # page tables at 0x1000 (PML4), 0x2000 (PDPT), 0x3000 (PD): the first 2 MiB, one large page
  movw $0x1000,%di
  movw $0x1800,%cx
  cld
  rep stosw
  movw $0x2003,0x1000
  movw $0x3003,0x2000
  movw $0x0083,0x3000
  lgdt gdtr-start+0x7c00
  # protected mode, without pages
  movl %cr0,%eax
  orb $1,%al
  movl %eax,%cr0
  ljmpl $8,$(prot-start+0x7c00)
.code32
prot:
  movw $16,%ax
  movw %ax,%ds
  movw %ax,%ss
  # long mode
  movl %cr4,%eax
  orl $0x20,%eax
  movl %eax,%cr4
  movl $0x1000,%eax
  movl %eax,%cr3
  movl $0xc0000080,%ecx
  rdmsr
  orl $0x100,%eax
  wrmsr
  movl %cr0,%eax
  orl $0x80000000,%eax
  movl %eax,%cr0
  ljmpl $24,$(long-start+0x7c00)
.code64
long:
  movq $0x123456789abcdef0,%rax
  bswapq %rax
  xorl %eax,%eax
  cpuid
  movw $0x604,%dx
  movw $0x2000,%ax
  outw %ax,%dx
3: hlt
  jmp 3b
.p2align 3
gdt: .quad 0
  .quad 0x00cf9a000000ffff
  .quad 0x00cf92000000ffff
  .quad 0x00af9a000000ffff
gdtr: .word gdtr-gdt-1
  .long gdt-start+0x7c00
.org 510
.word 0xaa55
