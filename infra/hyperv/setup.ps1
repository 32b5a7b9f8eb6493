# Makes a Windows Server 2019 or later a host of a LabPortal pool: run once on it, as administrator, in Windows PowerShell 5.1. It may be run again.
#   .\setup.ps1 -PublicKey 'ssh-ed25519 AAAA... labportal' [-Folder C:\LabPortal] [-Switch LabPortal] [-Adapter Ethernet] [-User labportal]
# Afterwards it prints what the pool's settings ask for. The user may manage Hyper-V and sign in by that key, and is no administrator of the machine.
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$PublicKey,
    [string]$Folder = 'C:\LabPortal',
    [string]$Switch = 'LabPortal',
    [string]$Adapter,
    [string]$User = 'labportal'
)
$ErrorActionPreference = 'Stop'
if ($PublicKey -notmatch '^(ssh-ed25519|ecdsa-sha2-nistp\d+|ssh-rsa) [A-Za-z0-9+/=]+( [^\r\n]*)?$') { throw 'PublicKey is one line, as ssh-keygen writes it into NAME.pub.' }

$feature = Install-WindowsFeature -Name Hyper-V -IncludeManagementTools
if ($feature.RestartNeeded -eq 'Yes') {
    Write-Output 'Hyper-V is installed and begins with the next start of this machine: start it anew, and run this script again.'
    return
}

$sshd = Get-WindowsCapability -Online -Name 'OpenSSH.Server*'
if ($sshd.State -ne 'Installed') { $null = Add-WindowsCapability -Online -Name $sshd.Name }
Set-Service -Name sshd -StartupType Automatic
Start-Service -Name sshd

# A password that nobody knows: the key alone signs in.
$account = Get-LocalUser -Name $User -ErrorAction SilentlyContinue
if (-not $account) {
    $random = New-Object byte[] 32
    [Security.Cryptography.RandomNumberGenerator]::Create().GetBytes($random)
    $password = ConvertTo-SecureString -String ('aA1!' + [Convert]::ToBase64String($random)) -AsPlainText -Force
    $account = New-LocalUser -Name $User -Password $password -PasswordNeverExpires -Description 'LabPortal: manages the machines of its pool'
}
foreach ($group in 'S-1-5-32-578', 'S-1-5-32-545') {
    # Hyper-V Administrators and Users, by their ids: their names are translated.
    if (-not (Get-LocalGroupMember -SID $group | Where-Object { $_.SID -eq $account.SID })) { Add-LocalGroupMember -SID $group -Member $account }
}

foreach ($each in $Folder, (Join-Path $Folder 'Images'), (Join-Path $Folder 'Machines')) { $null = New-Item -ItemType Directory -Force -Path $each }
# The user reads images and changes machines. Hyper-V's own account for each machine is given its right by Hyper-V.
$null = icacls (Join-Path $Folder 'Images') /grant ($User + ':(OI)(CI)RX')
if ($LASTEXITCODE) { throw 'The right to read the images could not be given.' }
$null = icacls (Join-Path $Folder 'Machines') /grant ($User + ':(OI)(CI)M')
if ($LASTEXITCODE) { throw 'The right to change the machines could not be given.' }

# sshd's own place for it, outside the user's profile, which exists only after a first sign-in: it asks for a line in its configuration.
$keys = Join-Path $env:ProgramData 'ssh\labportal_keys'
Set-Content -Path $keys -Value $PublicKey -Encoding ascii
$null = icacls $keys /inheritance:r /grant '*S-1-5-18:F' /grant '*S-1-5-32-544:F'
if ($LASTEXITCODE) { throw 'The rights of the key file could not be set.' }
$configuration = Join-Path $env:ProgramData 'ssh\sshd_config'
$block = 'Match User ' + $User
if (-not (Select-String -Path $configuration -SimpleMatch -Quiet -Pattern $block)) {
    Add-Content -Path $configuration -Encoding ascii -Value @('', $block, '    AuthorizedKeysFile __PROGRAMDATA__/ssh/labportal_keys', '    PasswordAuthentication no', '    AllowTcpForwarding no')
    Restart-Service -Name sshd
}

if (-not (Get-VMSwitch | Where-Object { $_.Name -eq $Switch })) {
    if ($Adapter) { $null = New-VMSwitch -Name $Switch -NetAdapterName $Adapter -AllowManagementOS $true }
    else { throw ('There is no virtual switch "' + $Switch + '". Name the network adapter that it shall use: -Adapter, one of ' + ((Get-NetAdapter -Physical | ForEach-Object { $_.Name }) -join ', ') + '.') }
}

Write-Output ('address:  ' + [Net.Dns]::GetHostEntry('').HostName)
Write-Output ('user:     ' + $User)
Write-Output ('hostKey:  ' + ((& ssh-keygen -lf (Join-Path $env:ProgramData 'ssh\ssh_host_ed25519_key.pub')) -split ' ')[1])
Write-Output ('images:   ' + (Join-Path $Folder 'Images'))
Write-Output ('folder:   ' + (Join-Path $Folder 'Machines'))
Write-Output ('switch:   ' + $Switch)
