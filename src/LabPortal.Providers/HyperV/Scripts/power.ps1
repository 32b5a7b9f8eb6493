param($in)
$vm = @(Get-VM -Name ($in.name + '*') | Where-Object { $_.Name -eq $in.name })
if (-not $vm.Count) { throw ('Rejected: Machine ' + $in.name + ' is not on this host.') }
$state = [string]$vm[0].State
if ($in.order -eq 'start') { if ($state -ne 'Running') { Start-VM -Name $in.name } }
elseif ($in.order -eq 'restart') { Restart-VM -Name $in.name -Force }
# A saved machine (as its host leaves it when it is shut down itself) is as stopped as one that is off, and can be neither asked nor turned off.
elseif ('Off', 'Saved' -contains $state) { }
elseif ($in.order -eq 'turn-off') { Stop-VM -Name $in.name -TurnOff -Force }
# The guest is asked, and the call does not wait for it.
else { $null = Stop-VM -Name $in.name -Force -AsJob }
@{ }
