param($in)
# Which of the checkpoints has its machine's memory is written beside the disk, before the checkpoint is taken.
$vm = @(Get-VM -Name ($in.name + '*') | Where-Object { $_.Name -eq $in.name })
if (-not $vm.Count) {
    if ($in.order -eq 'remove') { return @{ } }
    throw ('Rejected: Machine ' + $in.name + ' is not on this host.')
}
$own = [IO.Path]::Combine($in.folder, $in.name)
$mark = [IO.Path]::Combine($own, [string]$in.mark + '.runs')
$there = @(Get-VMSnapshot -VMName $in.name)
$wanted = @($there | Where-Object { $_.Name -eq $in.checkpoint })
if ($in.order -eq 'list') {
    return @{ checkpoints = @($there | ForEach-Object {
        @{ name = $_.Name; id = [string]$_.Id; taken = $_.CreationTime.ToUniversalTime().ToString('o'); runs = [IO.File]::Exists([IO.Path]::Combine($own, $_.Name.Substring($_.Name.Length - 32) + '.runs')) }
    }) }
}
if ($in.order -eq 'take') {
    if ($wanted.Count) { return @{ } }
    if ([string]$vm[0].State -eq 'Running') { [IO.File]::WriteAllText($mark, '') } else { [IO.File]::Delete($mark) }
    Checkpoint-VM -Name $in.name -SnapshotName $in.checkpoint
}
elseif ($in.order -eq 'revert') {
    if (-not $wanted.Count) { throw ('Rejected: Machine ' + $in.name + ' has no checkpoint ' + $in.checkpoint + '.') }
    if ('Off', 'Saved' -notcontains [string]$vm[0].State) { Stop-VM -Name $in.name -TurnOff -Force }
    Restore-VMSnapshot -VMName $in.name -Name $in.checkpoint -Confirm:$false
    $state = [string]@(Get-VM -Name $in.name)[0].State
    if ([IO.File]::Exists($mark)) { if ($state -ne 'Running') { Start-VM -Name $in.name } }
    elseif ('Off', 'Saved' -notcontains $state) { Stop-VM -Name $in.name -TurnOff -Force }
}
elseif ($in.order -eq 'remove') {
    if ($wanted.Count) { Remove-VMSnapshot -VMName $in.name -Name $in.checkpoint -Confirm:$false }
    [IO.File]::Delete($mark)
}
else {
    $bytes = [long]0
    foreach ($file in [IO.Directory]::GetFiles($own, '*', 'AllDirectories')) { $bytes += ([IO.FileInfo]$file).Length }
    return @{ bytes = $bytes }
}
@{ }
