param($in)
# One at a time for each machine, over all connections to this host: a byte of one file is locked, and free again when its process ends.
$null = [IO.Directory]::CreateDirectory($in.folder)
$lock = [IO.File]::Open([IO.Path]::Combine($in.folder, '.lock'), 'OpenOrCreate', 'ReadWrite', 'ReadWrite')
try {
    $lock.Lock([long]$in.lock, 1)
    $there = @(Get-VM -Name ($in.name + '*') | Where-Object { $_.Name -eq $in.name })
    if ($there.Count -and $there[0].Notes -eq $in.notes) { return @{ made = $false } }
    if (-not [IO.File]::Exists($in.parent)) { throw ('Rejected: Image "' + $in.image + '" is not at ' + $in.parent + ' on this host.') }

    # What a cut-off call left has never been anybody's: the notes are written last.
    foreach ($vm in $there) {
        if ('Off', 'Saved' -notcontains [string]$vm.State) { Stop-VM -Name $vm.Name -TurnOff -Force }
        Remove-VM -Name $vm.Name -Force
    }
    $own = [IO.Path]::Combine($in.folder, $in.name)
    if ([IO.Directory]::Exists($own)) { [IO.Directory]::Delete($own, $true) }
    $null = [IO.Directory]::CreateDirectory($own)
    $seed = [IO.Path]::Combine($own, 'seed.iso')
    [IO.File]::WriteAllBytes($seed, [Convert]::FromBase64String($in.seed))

    $disk = [IO.Path]::Combine($own, 'disk.vhdx')
    $made = New-VHD -Path $disk -ParentPath $in.parent -Differencing
    if ([uint64]$made.Size -lt [uint64]$in.diskBytes) { Resize-VHD -Path $disk -SizeBytes ([uint64]$in.diskBytes) }
    $null = New-VM -Name $in.name -MemoryStartupBytes ([long]$in.memoryBytes) -Generation ([int16]$in.generation) -VHDPath $disk -Path $in.folder -SwitchName $in.switch
    Set-VMProcessor -VMName $in.name -Count ([long]$in.cpu) -ExposeVirtualizationExtensions ([bool]$in.nested)
    $settings = @{ Name = $in.name; AutomaticCheckpointsEnabled = $false; CheckpointType = 'Standard'; AutomaticStartAction = 'StartIfRunning'; AutomaticStopAction = 'Save' }
    if ($in.dynamicMemory) { $settings.DynamicMemory = $true; $settings.MemoryMaximumBytes = [long]$in.memoryBytes; $settings.MemoryMinimumBytes = [long]$in.memoryLeastBytes }
    else { $settings.StaticMemory = $true }
    Set-VM @settings
    Set-VMNetworkAdapter -VMName $in.name -StaticMacAddress $in.mac -MacAddressSpoofing Off -DhcpGuard On -RouterGuard On
    if ($in.vlan) { Set-VMNetworkAdapterVlan -VMName $in.name -Access -VlanId ([int]$in.vlan) }
    if ($in.generation -eq 2) {
        if ($in.secureBoot) { Set-VMFirmware -VMName $in.name -EnableSecureBoot On -SecureBootTemplate $in.secureBoot }
        else { Set-VMFirmware -VMName $in.name -EnableSecureBoot Off }
        if ($in.tpm) {
            Set-VMKeyProtector -VMName $in.name -NewLocalKeyProtector
            Enable-VMTPM -VMName $in.name
        }
    }
    Add-VMDvdDrive -VMName $in.name -Path $seed
    Start-VM -Name $in.name
    Set-VM -Name $in.name -Notes $in.notes
    @{ made = $true }
}
finally { $lock.Dispose() }
