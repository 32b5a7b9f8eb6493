param($in)
if (-not [IO.Directory]::Exists($in.folder)) { $null = [IO.Directory]::CreateDirectory($in.folder) }
$lock = [IO.File]::Open([IO.Path]::Combine($in.folder, '.lock'), 'OpenOrCreate', 'ReadWrite', 'ReadWrite')
try {
    $lock.Lock([long]$in.lock, 1)
    foreach ($vm in @(Get-VM -Name ($in.name + '*') | Where-Object { $_.Name -eq $in.name })) {
        if ('Off', 'Saved' -notcontains [string]$vm.State) { Stop-VM -Name $vm.Name -TurnOff -Force }
        Remove-VM -Name $vm.Name -Force
    }
    $own = [IO.Path]::Combine($in.folder, $in.name)
    if ([IO.Directory]::Exists($own)) { [IO.Directory]::Delete($own, $true) }
    @{ }
}
finally { $lock.Dispose() }
