param($in)
$machines = @()
$checkpoints = @()
foreach ($vm in @(Get-VM -Name ($in.prefix + '*'))) {
    $machines += @{ name = $vm.Name; id = [string]$vm.Id }
    foreach ($checkpoint in @(Get-VMSnapshot -VMName $vm.Name)) { $checkpoints += @{ name = $checkpoint.Name; id = [string]$checkpoint.Id } }
}
$folders = @()
$seeds = @()
if ([IO.Directory]::Exists($in.folder)) {
    foreach ($folder in [IO.Directory]::GetDirectories($in.folder, $in.prefix + '*')) {
        $folders += @{ name = [IO.Path]::GetFileName($folder); id = $folder }
        $seed = [IO.Path]::Combine($folder, 'seed.iso')
        if ([IO.File]::Exists($seed)) { $seeds += @{ name = [IO.Path]::GetFileName($folder) + '.iso'; id = $seed } }
    }
}
@{ machines = $machines; checkpoints = $checkpoints; folders = $folders; seeds = $seeds }
